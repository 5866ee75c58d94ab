# Write-only arguments and ephemeral resources keep the password out of the state. They came with Terraform 1.11 and
# with OpenTofu 1.11.
terraform {
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25.0, < 7.0.0" # the first is the one whose schema the tests compare with

      # aws.dns: the account with the hosted zone. Who has only one account passes `aws.dns = aws`.
      configuration_aliases = [aws.dns]
    }
  }
}
