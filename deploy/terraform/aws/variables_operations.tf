# Logs, alarms, dashboard.

variable "log_retention_days" {
  description = "Days for which log lines are kept, one of CloudWatch's values."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of the values that CloudWatch Logs takes, such as 30, 90 or 365."
  }
}

variable "access_log_retention_days" {
  description = "Days for which the load balancer's access logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = var.access_log_retention_days >= 1
    error_message = "access_log_retention_days is 1 or more."
  }
}

variable "access_log_force_destroy" {
  description = "Delete the bucket of the load balancer's access logs though there are logs in it."
  type        = bool
  default     = false
}

variable "alarm_emails" {
  description = "Addresses that get the alarms; each has to confirm a message from AWS first."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@[:space:]]+@[^@[:space:]]+\\.[^@[:space:]]+$", address))])
    error_message = "alarm_emails takes e-mail addresses."
  }
}

variable "alarm_topic_arns" {
  description = "Further SNS topics that get the alarms."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:.+$", arn))])
    error_message = "alarm_topic_arns takes ARNs of SNS topics."
  }
}

variable "alarm_latency_seconds" {
  description = "An alarm goes off when one request in a hundred takes longer than this, three minutes running. Uploads are not fast: it is meant to be high."
  type        = number
  default     = 5

  validation {
    condition     = var.alarm_latency_seconds > 0
    error_message = "alarm_latency_seconds is more than 0."
  }
}

variable "alarm_5xx_count" {
  description = "An alarm goes off at more answers with a status of 500 or above than this in five minutes."
  type        = number
  default     = 5

  validation {
    condition     = var.alarm_5xx_count >= 0
    error_message = "alarm_5xx_count is 0 or more."
  }
}

variable "alarm_failed_tasks_count" {
  description = "An alarm goes off when this many tasks ended by themselves or could not start, within fifteen minutes."
  type        = number
  default     = 3

  validation {
    condition     = var.alarm_failed_tasks_count >= 1
    error_message = "alarm_failed_tasks_count is 1 or more."
  }
}

variable "enable_cloudwatch_dashboard" {
  description = "Make a dashboard."
  type        = bool
  default     = true
}
