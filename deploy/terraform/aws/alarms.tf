# Alarms for an operator. Each description says what to look at first.

resource "aws_sns_topic" "alarms" {
  name              = "${var.service_name}-cloudwatch-alarms"
  display_name      = "Alarms of ${var.service_name}"
  kms_master_key_id = local.kms_key_arn
  tags              = local.tags
}

resource "aws_sns_topic_subscription" "alarm_emails" {
  for_each  = toset(var.alarm_emails)
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  alarm_topics = concat([aws_sns_topic.alarms.arn], var.alarm_topic_arns)

  load_balancer_dimensions = { LoadBalancer = aws_lb.main.arn_suffix }
  target_group_dimensions  = { LoadBalancer = aws_lb.main.arn_suffix, TargetGroup = aws_lb_target_group.main.arn_suffix }
  service_dimensions       = { ClusterName = aws_ecs_cluster.main.name, ServiceName = aws_ecs_service.main.name }
  file_system_dimensions   = { FileSystemId = local.file_system_id }
}

resource "aws_cloudwatch_metric_alarm" "server_errors" {
  alarm_name          = "${var.service_name}-5xx"
  alarm_description   = "Tasks answer with 5xx. Their log group has a line with the reason for each."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_Target_5XX_Count"
  dimensions          = local.load_balancer_dimensions
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_5xx_count
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "load_balancer_errors" {
  alarm_name          = "${var.service_name}-load-balancer-5xx"
  alarm_description   = "The load balancer itself answers with 5xx: no healthy task (503), a task that closes connections (502) or is silent for longer than idle_timeout (504)."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "HTTPCode_ELB_5XX_Count"
  dimensions          = local.load_balancer_dimensions
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_5xx_count
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "latency" {
  alarm_name          = "${var.service_name}-latency"
  alarm_description   = "One request in a hundred is slow. Look at the tasks' CPU and at the ${local.store_name} on the dashboard."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "TargetResponseTime"
  dimensions          = local.load_balancer_dimensions
  extended_statistic  = "p99"
  period              = 60
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_latency_seconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags

  # Of five requests at night the slowest is the percentile.
  evaluate_low_sample_count_percentiles = "ignore"
}

resource "aws_cloudwatch_metric_alarm" "unhealthy_targets" {
  alarm_name          = "${var.service_name}-unhealthy-targets"
  alarm_description   = "A task does not pass the health check: it does not run, or cannot use the ${local.store_name}."
  namespace           = "AWS/ApplicationELB"
  metric_name         = "UnHealthyHostCount"
  dimensions          = local.target_group_dimensions
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "running_tasks" {
  alarm_name          = "${var.service_name}-running-tasks"
  alarm_description   = "Fewer tasks run than there should at least be. The service's events in ECS say why no more can be started."
  namespace           = "ECS/ContainerInsights"
  metric_name         = "RunningTaskCount"
  dimensions          = local.service_dimensions
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = local.task_min_count
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "failed_tasks" {
  alarm_name          = "${var.service_name}-failed-tasks"
  alarm_description   = "Tasks end by themselves or cannot start, again and again. The reasons are in the log group of failed tasks."
  namespace           = "AWS/Events"
  metric_name         = "TriggeredRules"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.failed_tasks.name }
  statistic           = "Sum"
  period              = 900
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.alarm_failed_tasks_count
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "store_errors" {
  alarm_name          = "${var.service_name}-store-errors"
  alarm_description   = "quire could not use its store: ${local.store_name} unreachable, full or not writable. `quire doctor` in a task says which."
  namespace           = local.metrics_namespace
  metric_name         = aws_cloudwatch_log_metric_filter.requests["quire_store_errors_total"].name
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "efs_burst_credit_balance" {
  count               = local.create_file_system && var.efs_throughput_mode == "bursting" ? 1 : 0
  alarm_name          = "${var.service_name}-efs-burst-credits-low"
  alarm_description   = "The volume's burst credits run out; then it is as fast as its size allows, which is slow. Change efs_throughput_mode to elastic."
  namespace           = "AWS/EFS"
  metric_name         = "BurstCreditBalance"
  dimensions          = local.file_system_dimensions
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "LessThanThreshold"
  threshold           = var.efs_burst_credit_threshold
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "efs_throughput_utilization" {
  count               = local.uses_volume ? 1 : 0
  alarm_name          = "${var.service_name}-efs-throughput-high"
  alarm_description   = "The volume comes near the operations per second that its performance mode allows."
  namespace           = "AWS/EFS"
  metric_name         = "PercentIOLimit"
  dimensions          = local.file_system_dimensions
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}

# Metered against permitted bytes. Elastic throughput has a limit too, but one that an index does not come near to.
resource "aws_cloudwatch_metric_alarm" "efs_permitted_throughput" {
  count               = local.uses_volume && var.efs_throughput_mode != "elastic" ? 1 : 0
  alarm_name          = "${var.service_name}-efs-permitted-throughput"
  alarm_description   = "The volume is used at more than 80 percent of the throughput that it is permitted. Change efs_throughput_mode to elastic, or provision more."
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags

  metric_query {
    id          = "used"
    label       = "Percent of the permitted throughput"
    expression  = "100 * (metered / PERIOD(metered)) / permitted"
    return_data = true
  }

  metric_query {
    id = "metered"

    metric {
      namespace   = "AWS/EFS"
      metric_name = "MeteredIOBytes"
      dimensions  = local.file_system_dimensions
      stat        = "Sum"
      period      = 60
    }
  }

  metric_query {
    id = "permitted"

    metric {
      namespace   = "AWS/EFS"
      metric_name = "PermittedThroughput"
      dimensions  = local.file_system_dimensions
      stat        = "Average"
      period      = 60
    }
  }
}

# S3 asks for slower requests, or fails. quire tries again by itself, so that clients see this as slowness first.
resource "aws_cloudwatch_metric_alarm" "bucket_errors" {
  count               = local.uses_bucket ? 1 : 0
  alarm_name          = "${var.service_name}-s3-5xx"
  alarm_description   = "S3 answers with 5xx, which includes requests to slow down (503). If it goes on, look at the number of requests on the dashboard."
  namespace           = "AWS/S3"
  metric_name         = "5xxErrors"
  dimensions          = local.bucket_dimensions
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.alarm_5xx_count
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}
