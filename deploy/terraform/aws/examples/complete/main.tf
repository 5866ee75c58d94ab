# A production deployment: the zone in another account, ARM, sizes, alarms, readers of the password, an own fallback.

terraform {
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25.0, < 7.0.0"
    }
  }
}

provider "aws" {
  region = "eu-central-1"
}

provider "aws" {
  alias  = "dns"
  region = "eu-central-1"

  assume_role {
    role_arn = "arn:aws:iam::210987654321:role/dns"
  }
}

module "quire" {
  source = "../.."

  providers = {
    aws     = aws
    aws.dns = aws.dns
  }

  service_name          = "quire"
  environment           = "production"
  tags                  = { team = "platform" }
  service_subnets       = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb"]
  load_balancer_subnets = ["subnet-0cccccccccccccccc", "subnet-0dddddddddddddddd"]
  allowed_cidr_blocks   = ["192.0.2.0/24", "198.51.100.0/24"]
  zone_id               = "Z0123456789ABCDEFGHIJ"
  dns_names             = ["pypi", "packages"]

  docker_image     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/quire-index"
  docker_image_tag = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  cpu_architecture = "ARM64"
  container_cpu    = 1024
  container_memory = 2048
  workers          = 2
  task_min_count   = 2
  task_max_count   = 8

  disable_fallback = true
  environment_variables = {
    QUIRE_MAX_UPLOAD_SIZE = "500M"
  }

  efs_throughput_mode   = "elastic"
  efs_lifecycle_policy  = 90
  backup_retention_days = 35
  backup_schedule       = "cron(0 3 * * ? *)"

  secret_readers   = ["arn:aws:iam::123456789012:role/ci"]
  alarm_emails     = ["on-call@example.com"]
  alarm_topic_arns = ["arn:aws:sns:eu-central-1:123456789012:pager"]
}

output "urls" {
  value = module.quire.pypi_server_urls
}

output "dashboard" {
  value = module.quire.cloudwatch_dashboard_url
}
