# HTTPS for clients, least outstanding requests among the tasks, an access log.

locals {
  container_port = 8080
}

resource "aws_lb" "main" {
  #checkov:skip=CKV2_AWS_28:A web ACL is the operator's choice (web_acl_arn); its default body limits would refuse uploads.
  #checkov:skip=CKV2_AWS_76:The rules of the operator's web ACL are theirs, and there is no Java behind this.
  name               = var.service_name
  load_balancer_type = "application"
  internal           = var.load_balancer_internal
  subnets            = var.load_balancer_subnets
  security_groups    = [aws_security_group.load_balancer.id]

  # Less than quire's own, so that it is the load balancer that closes idle connections, when nothing is under way.
  idle_timeout               = var.idle_timeout
  drop_invalid_header_fields = true
  preserve_host_header       = true # links with a host name in them must have the name that the client used
  xff_header_processing_mode = "append"
  desync_mitigation_mode     = "defensive"
  enable_deletion_protection = var.enable_deletion_protection

  access_logs {
    bucket  = aws_s3_bucket.access_logs.id
    enabled = true
  }

  tags = local.tags

  # The load balancer tries to write as soon as it is told the bucket.
  depends_on = [aws_s3_bucket_policy.access_logs]
}

resource "aws_lb_target_group" "main" {
  #checkov:skip=CKV_AWS_378:TLS ends at the load balancer; behind it is the VPC, and the security groups let only the load balancer in.
  name_prefix          = "quire-"
  vpc_id               = local.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = local.container_port
  deregistration_delay = var.deregistration_delay

  # A listing takes milliseconds and an upload minutes: counting what is under way is what spreads them.
  load_balancing_algorithm_type = "least_outstanding_requests"

  health_check {
    path                = var.health_check_path
    matcher             = var.health_check_matcher
    protocol            = "HTTP"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.main.arn
  protocol          = "HTTPS"
  port              = 443
  ssl_policy        = var.ssl_policy
  certificate_arn   = aws_acm_certificate_validation.main.certificate_arn
  tags              = local.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.main.arn
  }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.main.arn
  protocol          = "HTTP"
  port              = 80
  tags              = local.tags

  default_action {
    type = "redirect"

    redirect {
      protocol    = "HTTPS"
      port        = "443"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_wafv2_web_acl_association" "main" {
  count        = var.web_acl_arn != null ? 1 : 0
  resource_arn = aws_lb.main.arn
  web_acl_arn  = var.web_acl_arn
}
