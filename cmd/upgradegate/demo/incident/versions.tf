terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "upgradegate.local/sim/aws"
      version = "PROVIDER_VERSION"
    }
  }
  backend "local" {}
}

provider "aws" {
  region = "eu-west-2"
}
