# The least that a deployment names: subnets, a zone, an image. The index is then at https://pypi.<zone>/.

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
  dns_names             = ["pypi"]
  docker_image          = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/quire-index"
  docker_image_tag      = "1.0.0"
}

output "urls" {
  value = module.quire.pypi_server_urls
}

output "user_secret_arn" {
  value = module.quire.pypi_user_secret_arn
}
