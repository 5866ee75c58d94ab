# Backups by `quire backup`: scheduled_backup.tf.

variable "backup_place" {
  description = "A bucket and a prefix of its own, s3://bucket/prefix, into which a scheduled task runs `quire backup`; null for none. A bucket of another account needs a policy that lets this one in."
  type        = string
  default     = null

  validation {
    condition     = var.backup_place == null ? true : can(regex("^s3://[0-9a-z][0-9a-z.-]{1,61}[0-9a-z]/[0-9A-Za-z_-]+(/[0-9A-Za-z_-]+)*$", var.backup_place))
    error_message = "backup_place has the form s3://bucket/prefix."
  }
}

variable "backup_place_schedule" {
  description = "When these backups begin, as a cron expression of AWS, in UTC."
  type        = string
  default     = "cron(15 3 * * ? *)"

  validation {
    condition     = can(regex("^cron\\(.+\\)$", var.backup_place_schedule))
    error_message = "backup_place_schedule has the form cron(15 3 * * ? *)."
  }
}

variable "backup_place_keep" {
  description = "How many of these backups are kept."
  type        = number
  default     = 30

  validation {
    condition     = var.backup_place_keep >= 2 && floor(var.backup_place_keep) == var.backup_place_keep
    error_message = "backup_place_keep is a whole number from 2."
  }
}

variable "backup_place_kms_key_arn" {
  description = "The key that the bucket of backup_place encrypts with; null when it uses Amazon's own keys (SSE-S3)."
  type        = string
  default     = null

  validation {
    condition     = var.backup_place_kms_key_arn == null ? true : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.backup_place_kms_key_arn))
    error_message = "backup_place_kms_key_arn is the ARN of a key, not of an alias."
  }
}
