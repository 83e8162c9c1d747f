resource "aws_vpc_security_group_ingress_rule" "lb" {
  security_group_id            = aws_security_group.varnish.id
  description                  = "the load balancer reaches Varnish"
  referenced_security_group_id = aws_security_group.lb.id
  ip_protocol                  = "tcp"
  from_port                    = PORT
  to_port                      = PORT
}
