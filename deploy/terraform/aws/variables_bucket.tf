# The bucket, with storage = "s3".

variable "existing_bucket" {
  description = "The name of a bucket to use instead of a new one. Its policy, encryption, versioning and lifecycle stay its owner's: see bucket.tf for what they should be."
  type        = string
  default     = null

  validation {
    condition     = var.existing_bucket == null ? true : can(regex("^[0-9a-z][0-9a-z.-]{1,61}[0-9a-z]$", var.existing_bucket))
    error_message = "existing_bucket is the name of a bucket, not its ARN or URL."
  }
}

variable "existing_bucket_kms_key_arn" {
  description = "The key that an existing bucket encrypts with by default; null when it uses Amazon's own keys (SSE-S3)."
  type        = string
  default     = null

  validation {
    condition     = var.existing_bucket_kms_key_arn == null ? true : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.existing_bucket_kms_key_arn))
    error_message = "existing_bucket_kms_key_arn is the ARN of a key, not of an alias."
  }
}

variable "bucket_prefix" {
  description = "Where in the bucket the index is: the beginning of all its keys, without a slash at either end."
  type        = string
  default     = "packages"

  validation {
    condition     = can(regex("^[0-9A-Za-z_-]+(/[0-9A-Za-z_-]+)*$", var.bucket_prefix)) && length(var.bucket_prefix) <= 200
    error_message = "bucket_prefix has letters, digits, _ and -, and single slashes between them."
  }
}

variable "bucket_encryption" {
  description = "How a new bucket encrypts: aws:kms for the module's key (kms_key_arn), AES256 for Amazon's own keys (SSE-S3)."
  type        = string
  default     = "aws:kms"

  validation {
    condition     = contains(["aws:kms", "AES256"], var.bucket_encryption)
    error_message = "bucket_encryption is aws:kms or AES256."
  }
}

variable "bucket_noncurrent_days" {
  description = "Days for which a new bucket keeps what was replaced or deleted, so that a mistake can be undone."
  type        = number
  default     = 30

  validation {
    condition     = var.bucket_noncurrent_days >= 1 && floor(var.bucket_noncurrent_days) == var.bucket_noncurrent_days
    error_message = "bucket_noncurrent_days is a whole number from 1."
  }
}

variable "s3_endpoint_route_table_ids" {
  description = "Needed with storage s3: the route tables of service_subnets. They get a gateway endpoint, which costs nothing, so that packages do not go through a NAT. `[]` where there is such an endpoint."
  type        = list(string)
  default     = null

  validation {
    condition     = var.s3_endpoint_route_table_ids == null ? true : alltrue([for id in var.s3_endpoint_route_table_ids : can(regex("^rtb-[0-9a-f]{8,}$", id))])
    error_message = "s3_endpoint_route_table_ids takes the ids of route tables, such as rtb-0123456789abcdef0."
  }
}
