variable "environment" {
  type = string
}

data "aws_ami" "cluster" {
  owners      = ["self"]
  most_recent = true

  filter {
    name   = "name"
    values = ["IMAGE"]
  }
}

resource "aws_launch_template" "cluster" {
  name          = "ecs-${var.environment}-PLAY"
  image_id      = data.aws_ami.cluster.id
  instance_type = "m5.large"
}

# How many there are is for the scaling policies to say.
resource "aws_autoscaling_group" "cluster" {
  name                      = "ecs-${var.environment}-PLAY"
  min_size                  = 0
  max_size                  = 10
  vpc_zone_identifier       = [SUBNETS]
  health_check_type         = "EC2"
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.cluster.id
    version = aws_launch_template.cluster.latest_version
  }
}
