resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  security_group_id = aws_security_group.varnish.id
  description       = "the new load balancer reaches Varnish"
  cidr_ipv4         = "10.99.0.0/24"
  ip_protocol       = "tcp"
  from_port         = PORT
  to_port           = PORT
}
