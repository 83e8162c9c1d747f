variable "name" {
  description = "Name of the role."
  type        = string
}

variable "region" {
  description = "Region of the environment; default: the provider's."
  type        = string
  default     = ""
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

variable "tags" {
  description = "Tags of the role."
  type        = map(string)
  default     = {}
}
