# The volume, its backups, and the credentials. variables_bucket.tf has the bucket.

variable "storage" {
  description = "efs for a volume, or s3 for a bucket instead: then nothing of EFS is made, and what is said of it has no effect."
  type        = string
  default     = "efs"

  validation {
    condition     = contains(["efs", "s3"], var.storage)
    error_message = "storage is efs or s3."
  }
}

variable "existing_efs_file_system_id" {
  description = "A file system to use instead of a new one, such as the one that pypiserver still serves. It must have a mount target in each of the service's availability zones that lets port 2049 in. Its throughput, lifecycle and policy stay its owner's."
  type        = string
  default     = null

  validation {
    condition     = var.existing_efs_file_system_id == null ? true : can(regex("^fs-[0-9a-f]{8,}$", var.existing_efs_file_system_id))
    error_message = "existing_efs_file_system_id is the id of a file system, such as fs-0123456789abcdef0."
  }
}

variable "efs_root_directory" {
  description = "The directory of the file system that is served. `/` for a volume that pypiserver filled; on a new file system a directory that does not exist yet, which is made with the right owner."
  type        = string
  default     = "/packages"

  validation {
    condition     = startswith(var.efs_root_directory, "/") && length(var.efs_root_directory) <= 100
    error_message = "efs_root_directory is an absolute path of at most 100 characters."
  }
}

variable "efs_throughput_mode" {
  description = "elastic, bursting or provisioned."
  type        = string
  default     = "elastic"

  validation {
    condition     = contains(["elastic", "bursting", "provisioned"], var.efs_throughput_mode)
    error_message = "efs_throughput_mode is elastic, bursting or provisioned."
  }
}

variable "efs_provisioned_throughput_in_mibps" {
  description = "MiB/s for efs_throughput_mode `provisioned`; else null."
  type        = number
  default     = null

  validation {
    condition     = var.efs_provisioned_throughput_in_mibps == null ? true : var.efs_provisioned_throughput_in_mibps >= 1 && var.efs_provisioned_throughput_in_mibps <= 3414
    error_message = "efs_provisioned_throughput_in_mibps is between 1 and 3414."
  }
}

variable "efs_lifecycle_policy" {
  description = "Days without access after which a file goes to infrequent access storage, from which its next access brings it back; null for never."
  type        = number
  default     = 30

  validation {
    condition     = var.efs_lifecycle_policy == null ? true : contains([1, 7, 14, 30, 60, 90, 180, 270, 365], var.efs_lifecycle_policy)
    error_message = "efs_lifecycle_policy is null or one of 1, 7, 14, 30, 60, 90, 180, 270, 365."
  }
}

variable "efs_burst_credit_threshold" {
  description = "Bytes of burst credit below which an alarm goes off, with efs_throughput_mode `bursting`."
  type        = number
  default     = 1000000000000

  validation {
    condition     = var.efs_burst_credit_threshold > 0
    error_message = "efs_burst_credit_threshold is more than 0."
  }
}

variable "enable_efs_backup" {
  description = "Back the volume up with AWS Backup."
  type        = bool
  default     = true
}

variable "backup_retention_days" {
  description = "Days for which a backup is kept."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 36500
    error_message = "backup_retention_days is between 1 and 36500."
  }
}

variable "backup_schedule" {
  description = "When backups begin, as a cron expression of AWS, in UTC."
  type        = string
  default     = "cron(0 2 * * ? *)"

  validation {
    condition     = can(regex("^cron\\(.+\\)$", var.backup_schedule))
    error_message = "backup_schedule has the form cron(0 2 * * ? *)."
  }
}

variable "backups_force_destroy" {
  description = "Delete the backups with the vault."
  type        = bool
  default     = false
}

variable "pypi_username" {
  description = "The user whose password is generated."
  type        = string
  default     = "pypi"

  validation {
    condition     = can(regex("^[0-9A-Za-z._@-]{1,64}$", var.pypi_username))
    error_message = "pypi_username has letters, digits and ._@- only."
  }
}

variable "existing_user_secret_arn" {
  description = "A secret with the JSON fields `username` and `password` to use instead of a generated password, such as the one of the module for pypiserver: then no client needs new credentials."
  type        = string
  default     = null

  validation {
    condition     = var.existing_user_secret_arn == null ? true : can(regex("^arn:[a-z-]+:secretsmanager:", var.existing_user_secret_arn))
    error_message = "existing_user_secret_arn is the ARN of a secret."
  }
}

variable "password_version" {
  description = "Add 1 to generate a new password and roll it out; with existing_user_secret_arn, to take over what was changed there."
  type        = number
  default     = 1

  validation {
    condition     = var.password_version >= 1 && floor(var.password_version) == var.password_version
    error_message = "password_version is a whole number from 1."
  }
}

variable "password_in_state" {
  description = "Read the credentials into the state, in clear, for the outputs pypi_username and pypi_password. When false, pypi_password is null and the password is in Secrets Manager only."
  type        = bool
  default     = false
}

variable "secret_readers" {
  description = "ARNs of roles that may read the secret with user and password."
  type        = list(string)
  default     = null

  validation {
    condition     = var.secret_readers == null ? true : alltrue([for arn in var.secret_readers : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/.+$", arn))])
    error_message = "secret_readers takes ARNs of IAM roles."
  }
}

variable "kms_key_arn" {
  description = "A key to encrypt volume or bucket, backups, secrets, logs and alarms with; null to make one. Its policy must allow what kms.tf allows."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key, not of an alias."
  }
}
