# Inputs that have two names, and values that are derived from several inputs.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  service_subnets = var.service_subnets != null ? var.service_subnets : (var.asg_subnets != null ? var.asg_subnets : [])

  image = startswith(var.docker_image_tag, "sha256:") ? "${var.docker_image}@${var.docker_image_tag}" : "${var.docker_image}:${var.docker_image_tag}"

  tags = merge({
    environment       = var.environment
    service           = var.service_name
    created_by_module = "quire/aws"
  }, var.tags)

  store_name = local.uses_bucket ? "bucket" : "volume"

  region     = data.aws_region.current.region
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition

  # The sizes that Fargate sells: MiB of memory by CPU units.
  fargate_sizes = {
    "256"   = [512, 1024, 2048]
    "512"   = range(1024, 4097, 1024)
    "1024"  = range(2048, 8193, 1024)
    "2048"  = range(4096, 16385, 1024)
    "4096"  = range(8192, 30721, 1024)
    "8192"  = range(16384, 61441, 4096)
    "16384" = range(32768, 122881, 8192)
  }
  wanted_cpu    = var.container_cpu != null ? var.container_cpu : 512
  wanted_memory = var.container_memory != null ? var.container_memory : 1024
  cpu = [
    for units in [256, 512, 1024, 2048, 4096, 8192, 16384] : units
    if units >= local.wanted_cpu && max(local.fargate_sizes[tostring(units)]...) >= local.wanted_memory
  ][0]
  memory = [for mebibytes in local.fargate_sizes[tostring(local.cpu)] : mebibytes if mebibytes >= local.wanted_memory][0]

  asked_workers = var.workers != null ? var.workers : var.gunicorn_workers
  workers       = local.asked_workers != null ? local.asked_workers : max(2, ceil(local.cpu / 1024))

  task_min_count = var.task_min_count != null ? var.task_min_count : 2
  task_max_count = max(local.task_min_count, var.task_max_count != null ? var.task_max_count : 2 * local.task_min_count)
}
