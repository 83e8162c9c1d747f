# The policies as JSON, from the files beside this one. No provider is needed: what is not created here can be looked at.

terraform {
  required_version = ">= 1.5"
}

variable "partition" {
  description = "Partition of AWS: aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
}

variable "account" {
  description = "Account of the environment, twelve digits."
  type        = string
}

variable "region" {
  description = "Region of the environment."
  type        = string
}

variable "trusted" {
  description = "ARNs of who may become the gates: the role of the service, and nobody else."
  type        = list(string)
}

variable "external_id" {
  description = "External id that the service gives, environments.….aws.external_id of its configuration."
  type        = string
}

variable "keys" {
  description = "ARNs of the keys that images and volumes are encrypted with, those of other accounts too; default: all of this account and region."
  type        = list(string)
  default     = []
}

variable "parameters" {
  description = "Parameters by which launch templates name images (resolve:ssm:…); default: those that AWS publishes."
  type        = list(string)
  default     = ["aws/service/*"]
}

variable "launch" {
  description = "Whether test instances are launched through temporary groups: gates of kind instance-launch with method temporary-group."
  type        = bool
  default     = false
}

variable "probe" {
  description = "Whether test instances probe the site: gates of kind instance-launch with probe. It lets the gates run shell scripts on instances that are tagged gate:probe, and on no other."
  type        = bool
  default     = false
}

variable "scale_out" {
  description = "Names of the Auto Scaling groups that may be asked for one instance more: method scale-out, for staging."
  type        = list(string)
  default     = []
}

variable "clusters" {
  description = "Names of the ECS clusters in which test instances register."
  type        = list(string)
  default     = []
}

variable "templates" {
  description = "Ids of the launch templates that may be launched from; default: all of this account and region."
  type        = list(string)
  default     = ["*"]
}

variable "instance_roles" {
  description = "ARNs of the roles in the instance profiles of the launch templates."
  type        = list(string)
  default     = []
}

variable "group_roles" {
  description = "ARNs of service-linked roles with a suffix that groups launch with; the default role needs no entry."
  type        = list(string)
  default     = []
}

locals {
  here = "${var.region}:${var.account}"

  # Lists end up between quotes: ["${keys}"] becomes ["a", "b"].
  lists = {
    trusted             = var.trusted
    keys                = length(var.keys) > 0 ? var.keys : ["arn:${var.partition}:kms:${local.here}:key/*"]
    parameters          = [for p in var.parameters : "arn:${var.partition}:ssm:${var.region}:${startswith(trimprefix(p, "/"), "aws/") ? "" : var.account}:parameter/${trimprefix(p, "/")}"]
    clusters            = [for c in var.clusters : "arn:${var.partition}:ecs:${local.here}:cluster/${c}"]
    container_instances = [for c in var.clusters : "arn:${var.partition}:ecs:${local.here}:container-instance/${c}/*"]
    groups              = [for g in var.scale_out : "arn:${var.partition}:autoscaling:${local.here}:autoScalingGroup:*:autoScalingGroupName/${g}"]
    templates           = [for t in var.templates : "arn:${var.partition}:ec2:${local.here}:launch-template/${t}"]
    instance_roles      = var.instance_roles
    group_roles         = var.group_roles
  }
  words = merge({ partition = var.partition, account = var.account, region = var.region, external_id = var.external_id }, {
    for name, list in local.lists : name => join("\", \"", list)
  })
  names = concat(
    ["trust", "read", "deny"],
    var.launch || length(var.scale_out) > 0 ? ["watch"] : [],
    var.launch ? ["launch"] : [],
    var.launch && var.probe ? ["probe"] : [],
    length(var.scale_out) > 0 ? ["scale-out"] : [],
  )
  documents = { for name in local.names : name => jsondecode(templatefile("${path.module}/${name}.json", local.words)) }

  # An empty list leaves an empty ARN behind, and a statement about nothing else is none.
  policies = {
    for name, document in local.documents : name => merge(document, {
      Statement = [
        for s in document.Statement : merge(s, {
          for key in ["Resource", "NotResource"] : key => [for arn in flatten([s[key]]) : arn if arn != ""] if can(s[key])
        })
        if !can(s.Resource) || length([for arn in flatten([try(s.Resource, [])]) : arn if arn != ""]) > 0
      ]
    })
  }
}

output "trust" {
  description = "Trust policy of the role."
  value       = jsonencode(local.policies["trust"])
}

output "policies" {
  description = "Policies of the role by name, to be attached together."
  value       = { for name, policy in local.policies : name => jsonencode(policy) if name != "trust" }
}
