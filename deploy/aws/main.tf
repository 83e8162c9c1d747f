# The role that upgradegate's gates work as in one account. One for each environment:
#
#   module "gates_staging" {
#     source      = "…/deploy/aws"
#     name        = "upgradegate-staging"
#     trusted     = ["arn:aws:iam::333333333333:role/upgradegate"]
#     external_id = var.external_id
#     launch      = true
#     clusters    = ["main"]
#     instance_roles = ["arn:aws:iam::111111111111:role/ecs-instance"]
#   }

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

data "aws_region" "here" {}

module "policies" {
  source = "./policies"

  partition      = data.aws_partition.here.partition
  account        = data.aws_caller_identity.here.account_id
  region         = var.region != "" ? var.region : data.aws_region.here.name
  trusted        = var.trusted
  external_id    = var.external_id
  keys           = var.keys
  parameters     = var.parameters
  launch         = var.launch
  probe          = var.probe
  scale_out      = var.scale_out
  clusters       = var.clusters
  templates      = var.templates
  instance_roles = var.instance_roles
  group_roles    = var.group_roles
}

resource "aws_iam_role" "gates" {
  name                 = var.name
  description          = "What the gates of upgradegate work as."
  assume_role_policy   = module.policies.trust
  max_session_duration = 3600
  tags                 = var.tags
}

resource "aws_iam_role_policy" "gates" {
  for_each = module.policies.policies

  name   = each.key
  role   = aws_iam_role.gates.id
  policy = each.value
}

output "role_arn" {
  description = "For environments.….aws.role_arn of the configuration; the service's own role must be allowed to assume it: policies/service.json."
  value       = aws_iam_role.gates.arn
}
