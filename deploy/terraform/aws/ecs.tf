# The cluster, the task and the service.

resource "aws_ecs_cluster" "main" {
  name = var.service_name
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "main" {
  family                   = var.service_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(local.cpu)
  memory                   = tostring(local.memory)
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn
  container_definitions    = jsonencode([local.container_definition])
  tags                     = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  dynamic "volume" {
    for_each = aws_efs_access_point.packages[*].id

    content {
      name = "packages"

      efs_volume_configuration {
        file_system_id     = local.file_system_id
        transit_encryption = "ENABLED"

        authorization_config {
          access_point_id = volume.value
          iam             = "ENABLED"
        }
      }
    }
  }

  # Without a configuration: a folder on the task's own disk, which ends with the task.
  dynamic "volume" {
    for_each = local.uses_bucket ? ["scratch"] : []

    content {
      name = volume.value
    }
  }
}

resource "aws_ecs_service" "main" {
  name             = var.service_name
  cluster          = aws_ecs_cluster.main.id
  task_definition  = aws_ecs_task_definition.main.arn
  desired_count    = local.task_min_count
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  propagate_tags   = "SERVICE"
  tags             = local.tags

  # The new ones serve before the old ones are told to stop.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  health_check_grace_period_seconds  = 60
  enable_ecs_managed_tags            = true
  wait_for_steady_state              = var.wait_for_steady_state

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = local.service_subnets
    security_groups  = [aws_security_group.service.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.main.arn
    container_name   = local.container_name
    container_port   = local.container_port
  }

  # ECS refuses a target group without a listener; a task needs its rights and a way to its store before it starts, and
  # the rights until it has stopped.
  depends_on = [
    aws_lb_listener.https,
    aws_iam_role_policy.execution,
    aws_iam_role_policy.task,
    aws_efs_mount_target.volume,
    aws_efs_file_system_policy.packages,
    aws_s3_bucket_policy.packages,
    aws_vpc_endpoint.s3,
    aws_vpc_security_group_egress_rule.service_https,
    aws_vpc_security_group_egress_rule.service_nfs,
    aws_vpc_security_group_egress_rule.service_existing_nfs,
  ]

  lifecycle {
    ignore_changes = [desired_count] # autoscaling's business

    precondition {
      condition     = length(local.service_subnets) > 0
      error_message = "Give service_subnets (or asg_subnets): at least one subnet for the tasks."
    }

    precondition {
      condition     = var.stop_timeout >= tonumber(local.container_environment["QUIRE_DRAIN_SECONDS"]) + 35
      error_message = "stop_timeout is less than QUIRE_DRAIN_SECONDS and 35 (30 for requests under way, 5 to end), so requests would be cut off; 5 is the default of the former."
    }

    precondition {
      condition     = var.service_subnets == null || var.asg_subnets == null
      error_message = "service_subnets and asg_subnets are two names of one input; give one of them."
    }

    precondition {
      condition     = !local.uses_bucket || var.existing_efs_file_system_id == null
      error_message = "storage is s3, so existing_efs_file_system_id has no meaning; leave it out."
    }

    precondition {
      condition     = local.uses_bucket || var.existing_bucket == null
      error_message = "existing_bucket is given, so storage must be s3."
    }

    precondition {
      condition     = !local.uses_bucket || var.s3_endpoint_route_table_ids != null
      error_message = "storage is s3, so s3_endpoint_route_table_ids must be set: the route tables of service_subnets, or [] where the VPC has a gateway endpoint for S3."
    }
  }
}
