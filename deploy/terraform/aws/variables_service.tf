# The tasks: how large, how many, with which settings; and the load balancer before them.

variable "cpu_architecture" {
  description = "X86_64 or ARM64; the image must be built for it."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture is X86_64 or ARM64."
  }
}

variable "container_cpu" {
  description = "CPU units of a task, 1024 for a virtual CPU; null for 512. Fargate sells certain sizes: the next larger one is taken."
  type        = number
  default     = null

  validation {
    condition     = var.container_cpu == null ? true : var.container_cpu >= 128 && var.container_cpu <= 16384
    error_message = "container_cpu is between 128 and 16384 CPU units."
  }
}

variable "container_memory" {
  description = "MiB of memory of a task; null for 1024. Fargate sells certain pairs with container_cpu: the next larger one is taken."
  type        = number
  default     = null

  validation {
    condition     = var.container_memory == null ? true : var.container_memory >= 128 && var.container_memory <= 122880
    error_message = "container_memory is between 128 and 122880 MiB."
  }
}

variable "workers" {
  description = "Worker processes of a task; the same as gunicorn_workers. null for one to a virtual CPU, and two at least, so that one can die without taking the task out of service."
  type        = number
  default     = null

  validation {
    condition     = var.workers == null ? true : var.workers >= 1 && var.workers <= 64
    error_message = "workers is between 1 and 64."
  }
}

variable "gunicorn_workers" {
  description = "The name that workers has in the module for pypiserver. workers is stronger."
  type        = number
  default     = null

  validation {
    condition     = var.gunicorn_workers == null ? true : var.gunicorn_workers >= 1 && var.gunicorn_workers <= 64
    error_message = "gunicorn_workers is between 1 and 64."
  }
}

variable "task_min_count" {
  description = "The smallest number of tasks; null for 2, which lie in two availability zones."
  type        = number
  default     = null

  validation {
    condition     = var.task_min_count == null ? true : var.task_min_count >= 1
    error_message = "task_min_count is 1 or more."
  }
}

variable "task_max_count" {
  description = "The largest number of tasks; null for twice the smallest."
  type        = number
  default     = null

  validation {
    condition     = var.task_max_count == null ? true : var.task_max_count >= 1
    error_message = "task_max_count is 1 or more."
  }
}

variable "cpu_target_percent" {
  description = "Tasks are added and taken away to keep their mean CPU here."
  type        = number
  default     = 60

  validation {
    condition     = var.cpu_target_percent >= 10 && var.cpu_target_percent <= 95
    error_message = "cpu_target_percent is between 10 and 95."
  }
}

variable "requests_per_target" {
  description = "Tasks are added and taken away to keep the requests of each in a minute here. A careful beginning, not a measured limit: raise it when the CPU stays low."
  type        = number
  default     = 6000

  validation {
    condition     = var.requests_per_target >= 1
    error_message = "requests_per_target is 1 or more."
  }
}

variable "server" {
  description = "The HTTP server within the task: auto (uvicorn), uvicorn or gunicorn. granian, of earlier versions, means uvicorn."
  type        = string
  default     = "auto"

  validation {
    condition     = contains(["auto", "granian", "gunicorn", "uvicorn"], var.server)
    error_message = "server is auto, gunicorn or uvicorn."
  }
}

variable "authenticate" {
  description = "What needs a login."
  type        = list(string)
  default     = ["download", "list", "update"]

  validation {
    condition     = length(var.authenticate) > 0 && alltrue([for action in var.authenticate : contains(["download", "list", "update"], action)])
    error_message = "authenticate has one or more of download, list and update."
  }

  validation {
    condition     = contains(var.authenticate, "update") || contains(var.extra_arguments, "--anonymous-uploads") || contains(var.extra_arguments, "--read-only")
    error_message = "authenticate has no update, so uploads would need no login; add it, or put --anonymous-uploads or --read-only into extra_arguments."
  }
}

variable "disable_fallback" {
  description = "Answer 404 for a project that is not here. When false, clients are sent to the public index for it, as pypiserver does."
  type        = bool
  default     = false
}

variable "environment_variables" {
  description = "Further environment variables of the container, such as QUIRE_MAX_UPLOAD_SIZE. They are stronger than the module's own."
  type        = map(string)
  default     = {}
}

variable "extra_arguments" {
  description = "Further arguments of `quire run`."
  type        = list(string)
  default     = []
}

variable "stop_timeout" {
  description = "Seconds between SIGTERM and SIGKILL; 120 is the most that Fargate grants. quire itself serves on for 5 seconds (QUIRE_DRAIN_SECONDS) and then gives what is under way 30 more, so it is 40 at least, and more changes nothing. Uploads that take longer need `deregistration_delay`."
  type        = number
  default     = 120

  validation {
    condition     = var.stop_timeout >= 2 && var.stop_timeout <= 120
    error_message = "stop_timeout is between 2 and 120 seconds."
  }
}

variable "deregistration_delay" {
  description = "Seconds for which the load balancer lets requests under way go on before ECS stops the task. Nothing new is sent there meanwhile. Give it the time of your longest upload."
  type        = number
  default     = 300

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600
    error_message = "deregistration_delay is between 0 and 3600 seconds."
  }
}

variable "idle_timeout" {
  description = "Seconds of silence after which the load balancer closes a connection. quire is told to keep idle connections for 15 seconds more, so that no request is sent into one that is being closed (502)."
  type        = number
  default     = 60

  validation {
    condition     = var.idle_timeout >= 1 && var.idle_timeout <= 4000
    error_message = "idle_timeout is between 1 and 4000 seconds."
  }
}

variable "health_check_path" {
  description = "What the load balancer asks a task for. /ready answers 200 while the store can be used; `/` with health_check_matcher `200,401` is pypiserver's check and works as well."
  type        = string
  default     = "/ready"

  validation {
    condition     = startswith(var.health_check_path, "/")
    error_message = "health_check_path begins with a slash."
  }
}

variable "health_check_matcher" {
  description = "The status codes of a healthy task, as the load balancer takes them."
  type        = string
  default     = "200"

  validation {
    condition     = can(regex("^[2-4][0-9]{2}([,-][2-4][0-9]{2})*$", var.health_check_matcher))
    error_message = "health_check_matcher has status codes with commas, or a range: 200, 200,401, 200-299."
  }
}

variable "load_balancer_internal" {
  description = "Reachable from the VPC and what is connected to it only."
  type        = bool
  default     = false
}

variable "allowed_cidr_blocks" {
  description = "IPv4 networks that may reach the load balancer."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = alltrue([for block in var.allowed_cidr_blocks : can(cidrnetmask(block))])
    error_message = "allowed_cidr_blocks takes IPv4 networks, such as 10.0.0.0/8."
  }
}

variable "ssl_policy" {
  description = "The load balancer's TLS policy; the default takes TLS 1.3 and 1.2."
  type        = string
  default     = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"

  validation {
    condition     = startswith(var.ssl_policy, "ELBSecurityPolicy-TLS13-")
    error_message = "ssl_policy is one of the policies with TLS 1.3: ELBSecurityPolicy-TLS13-..."
  }
}

variable "enable_deletion_protection" {
  description = "The load balancer cannot be deleted until this is set to false."
  type        = bool
  default     = true
}

variable "web_acl_arn" {
  description = "A web ACL of AWS WAF for the load balancer; null for none. Its body size limits must let uploads pass."
  type        = string
  default     = null
}

variable "wait_for_steady_state" {
  description = "`apply` ends when the new tasks serve, and fails when the circuit breaker went back to the old ones."
  type        = bool
  default     = true
}
