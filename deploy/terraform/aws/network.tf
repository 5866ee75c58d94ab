# Allowed connections: clients to the load balancer, it to the tasks, they to their store and to AWS.

data "aws_subnet" "service" {
  count = length(local.service_subnets)
  id    = local.service_subnets[count.index]
}

data "aws_subnet" "load_balancer" {
  count = length(var.load_balancer_subnets)
  id    = var.load_balancer_subnets[count.index]
}

data "aws_vpc" "main" {
  count = local.uses_volume && !local.create_file_system ? 1 : 0
  id    = local.vpc_id
}

locals {
  vpc_id = data.aws_subnet.load_balancer[0].vpc_id
}

resource "aws_security_group" "load_balancer" {
  name_prefix = "${var.service_name}-alb-"
  description = "Clients of the package index"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.service_name} load balancer" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  for_each          = toset(var.allowed_cidr_blocks)
  security_group_id = aws_security_group.load_balancer.id
  description       = "Clients"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "http" {
  #checkov:skip=CKV_AWS_260:Port 80 answers with a redirect to HTTPS and nothing else; who must not even reach that is kept out by allowed_cidr_blocks.
  for_each          = toset(var.allowed_cidr_blocks)
  security_group_id = aws_security_group.load_balancer.id
  description       = "Clients, to be sent on to HTTPS"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
  tags              = local.tags
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "The tasks"
  referenced_security_group_id = aws_security_group.service.id
  ip_protocol                  = "tcp"
  from_port                    = local.container_port
  to_port                      = local.container_port
  tags                         = local.tags
}

resource "aws_security_group" "service" {
  name_prefix = "${var.service_name}-service-"
  description = "The tasks of the package index"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.service_name} service" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "service" {
  security_group_id            = aws_security_group.service.id
  description                  = "The load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.container_port
  to_port                      = local.container_port
  tags                         = local.tags
}

resource "aws_vpc_security_group_egress_rule" "service_https" {
  security_group_id = aws_security_group.service.id
  description       = "The registry, Secrets Manager, CloudWatch and S3"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = local.tags
}

resource "aws_vpc_security_group_egress_rule" "service_nfs" {
  count             = local.create_file_system ? length(local.service_subnets) : 0
  security_group_id = aws_security_group.service.id
  description       = "The volume"
  cidr_ipv4         = data.aws_subnet.service[count.index].cidr_block
  ip_protocol       = "tcp"
  from_port         = 2049
  to_port           = 2049
  tags              = local.tags
}

# The mount targets of an existing file system have a group that is not ours, and may be in other subnets of the zones.
resource "aws_vpc_security_group_egress_rule" "service_existing_nfs" {
  for_each          = toset(flatten([for vpc in data.aws_vpc.main : vpc.cidr_block_associations[*].cidr_block]))
  security_group_id = aws_security_group.service.id
  description       = "The volume"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = 2049
  to_port           = 2049
  tags              = local.tags
}
