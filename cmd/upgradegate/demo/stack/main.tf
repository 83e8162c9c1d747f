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

data "aws_ami" "web" {
  owners      = ["self"]
  most_recent = true

  filter {
    name   = "name"
    values = [local.image]
  }
}

resource "aws_security_group" "lb" {
  name        = "STACK-lb"
  description = "the load balancer in front of Varnish"
  vpc_id      = "VPC"
}

resource "aws_security_group" "varnish" {
  name        = "STACK-varnish"
  description = "ABOUT"
  vpc_id      = "VPC"
  TAGS
}

RULE

resource "aws_security_group" "web" {
  name        = "STACK-web"
  description = "web servers behind Varnish"
  vpc_id      = "VPC"
}

resource "aws_launch_template" "web" {
  name                   = "STACK-web"
  image_id               = data.aws_ami.web.id
  instance_type          = "t3.small"
  vpc_security_group_ids = [aws_security_group.web.id]
}

resource "aws_autoscaling_group" "web" {
  name                      = "STACK-web"
  min_size                  = 0
  max_size                  = local.max_size
  desired_capacity          = 0
  vpc_zone_identifier       = [SUBNETS]
  health_check_type         = "EC2"
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.web.id
    version = aws_launch_template.web.latest_version
  }
}
