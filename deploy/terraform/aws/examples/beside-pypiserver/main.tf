# quire on the volume that pypiserver serves, with pypiserver's users and password, before the name leads to it.
# The steps: docs/aws.md, "Moving over from pypiserver". The name changes hands with create_dns_records = true.

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

module "quire" {
  source = "../.."

  providers = {
    aws     = aws
    aws.dns = aws
  }

  service_name          = "quire"
  service_subnets       = ["subnet-0aaaaaaaaaaaaaaaa", "subnet-0bbbbbbbbbbbbbbbb"]
  load_balancer_subnets = ["subnet-0cccccccccccccccc", "subnet-0dddddddddddddddd"]
  zone_id               = "Z0123456789ABCDEFGHIJ"
  docker_image          = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/quire-index"
  docker_image_tag      = "1.0.0"

  # The name that pypiserver has, and keeps for now.
  dns_names          = ["pypiserver"]
  create_dns_records = false

  # What pypiserver has already: its volume, from the root on, and its secret.
  existing_efs_file_system_id = "fs-0123456789abcdef0"
  efs_root_directory          = "/"
  existing_user_secret_arn    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:PYPISERVER_SECRET-AbCdEf"
  enable_efs_backup           = false # pypiserver's module still does that
}

output "try_it" {
  value = "https://${module.quire.pypi_load_balancer_dns_name}/"
}
