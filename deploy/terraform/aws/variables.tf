# What every deployment names: where it runs, what it is called, and which image.

variable "service_subnets" {
  description = "Private subnets for the tasks and for a volume's mount targets, one for each availability zone; the same as asg_subnets. They need a way out to the registry, Secrets Manager and CloudWatch: NAT or VPC endpoints."
  type        = list(string)
  default     = null

  validation {
    condition     = var.service_subnets == null ? true : alltrue([for id in var.service_subnets : can(regex("^subnet-[0-9a-f]{8,}$", id))])
    error_message = "service_subnets takes the ids of subnets, such as subnet-0123456789abcdef0."
  }
}

variable "asg_subnets" {
  description = "The name that service_subnets has in the module for pypiserver. Give one of the two. The mount targets of a deployment keep their addresses only while it keeps the name."
  type        = list(string)
  default     = null

  validation {
    condition     = var.asg_subnets == null ? true : alltrue([for id in var.asg_subnets : can(regex("^subnet-[0-9a-f]{8,}$", id))])
    error_message = "asg_subnets takes the ids of subnets, such as subnet-0123456789abcdef0."
  }
}

variable "load_balancer_subnets" {
  description = "Subnets for the load balancer, in two availability zones or more; public ones unless load_balancer_internal is set."
  type        = list(string)

  validation {
    condition     = length(var.load_balancer_subnets) >= 2
    error_message = "A load balancer needs subnets in at least two availability zones."
  }

  validation {
    condition     = alltrue([for id in var.load_balancer_subnets : can(regex("^subnet-[0-9a-f]{8,}$", id))])
    error_message = "load_balancer_subnets takes the ids of subnets, such as subnet-0123456789abcdef0."
  }
}

variable "zone_id" {
  description = "The hosted zone in which the names and the records that validate the certificate are made."
  type        = string

  validation {
    condition     = can(regex("^Z[0-9A-Z]+$", var.zone_id))
    error_message = "zone_id is the id of a hosted zone: Z and further capitals and digits."
  }
}

variable "dns_names" {
  description = "Host names in the zone, without the zone's own name. The certificate covers all of them."
  type        = list(string)
  default     = ["pypiserver"]

  validation {
    condition     = length(var.dns_names) > 0 && length(var.dns_names) == length(distinct(var.dns_names))
    error_message = "dns_names needs at least one name, and each only once."
  }

  validation {
    condition     = alltrue([for name in var.dns_names : can(regex("^[0-9a-z]([0-9a-z.-]*[0-9a-z])?$", name))])
    error_message = "dns_names have lower-case letters, digits, hyphens and dots only, and begin and end with a letter or digit."
  }
}

variable "create_dns_records" {
  description = "Let the names lead to this load balancer. Set to false to try a new deployment beside an old one that still has the names; the certificate is made either way."
  type        = bool
  default     = true
}

variable "service_name" {
  description = "What the resources are called. Two deployments in one account need two names."
  type        = string
  default     = "pypiserver"

  validation {
    condition     = can(regex("^[a-z][0-9a-z-]*[0-9a-z]$", var.service_name)) && length(var.service_name) <= 32
    error_message = "service_name has at most 32 lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen."
  }
}

variable "environment" {
  description = "The value of the tag `environment`."
  type        = string
  default     = "development"

  validation {
    condition     = can(regex("^[0-9a-z-]+$", var.environment))
    error_message = "environment has lower-case letters, digits and hyphens only."
  }
}

variable "tags" {
  description = "Further tags for all resources."
  type        = map(string)
  default     = {}
}

variable "docker_image" {
  description = "The repository of quire's image, without a tag, such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/quire-index. There is no public one: build it from this repository's Dockerfile."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-z][0-9A-Za-z._/:-]*$", var.docker_image)) && !can(regex(":[^/]*$", var.docker_image))
    error_message = "docker_image is a repository without tag or digest; the tag goes into docker_image_tag."
  }
}

variable "docker_image_tag" {
  description = "The image's tag, or better its digest (`sha256:` and 64 digits): a tag can be moved, and then two tasks run two programs."
  type        = string
  default     = "latest"

  validation {
    condition     = can(regex("^(sha256:[0-9a-f]{64}|[0-9A-Za-z_][0-9A-Za-z_.-]{0,127})$", var.docker_image_tag))
    error_message = "docker_image_tag is a tag or sha256: and 64 hexadecimal digits."
  }
}
