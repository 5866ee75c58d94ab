# Inputs of the module for pypiserver that have no meaning here: there are no EC2 instances. They are taken, so that a
# change of source is enough, and a warning in the plan names those that are set.

variable "internet_gateway_id" {
  description = "Has no effect: the subnets' routes are yours."
  type        = string
  default     = null
}

variable "ssh_key_name" {
  description = "Has no effect: there are no instances."
  type        = string
  default     = null
}

variable "ami_id" {
  description = "Has no effect: there are no instances."
  type        = string
  default     = null
}

variable "asg_instance_type" {
  description = "Has no effect: container_cpu and container_memory say what a task gets."
  type        = string
  default     = null
}

variable "asg_min_size" {
  description = "Has no effect: there are no instances."
  type        = number
  default     = null
}

variable "asg_max_size" {
  description = "Has no effect: there are no instances."
  type        = number
  default     = null
}

variable "container_memory_reservation" {
  description = "Has no effect: Fargate gives a task all of container_memory."
  type        = number
  default     = null
}

variable "users" {
  description = "Has no effect: there are no instances to log in to."
  type        = any
  default     = null
}

variable "cloudinit_extra_commands" {
  description = "Has no effect: there are no instances."
  type        = list(string)
  default     = null
}

variable "extra_instance_profile_permissions" {
  description = "Has no effect: there are no instances. quire's task role needs its store and nothing else."
  type        = string
  default     = null
}

variable "extra_files" {
  description = "Has no effect: there are no instances to put files on. Settings go into environment_variables, files into the image."
  type        = any
  default     = null
}

locals {
  inputs_without_effect = [for name, given in {
    internet_gateway_id                = var.internet_gateway_id != null
    ssh_key_name                       = var.ssh_key_name != null
    ami_id                             = var.ami_id != null
    asg_instance_type                  = var.asg_instance_type != null
    asg_min_size                       = var.asg_min_size != null
    asg_max_size                       = var.asg_max_size != null
    container_memory_reservation       = var.container_memory_reservation != null
    users                              = var.users != null
    cloudinit_extra_commands           = var.cloudinit_extra_commands != null
    extra_instance_profile_permissions = var.extra_instance_profile_permissions != null
    extra_files                        = var.extra_files != null
  } : name if given]
}

check "inputs_without_effect" {
  assert {
    condition     = length(local.inputs_without_effect) == 0
    error_message = "These inputs have no effect on Fargate and can be removed: ${join(", ", local.inputs_without_effect)}."
  }
}
