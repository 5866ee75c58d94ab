# Log groups, and quire's own metrics, which CloudWatch makes from the lines of requests.
#
# Why from log lines: the lines are written and kept anyway, a metric filter is a setting of their log group, and nothing
# more has to run. A collector beside each task that reads /metrics would be a second program to start, to update, to give
# rights to, and to wait for when a task stops. What lines of requests cannot tell (validations, caches, conflicts) is on
# /metrics for a Prometheus that can reach the tasks. With QUIRE_LOG_SAMPLE below 1 the counts are those of the sample.

locals {
  metrics_namespace = "quire/${var.service_name}"

  # By the names that the same things have on /metrics. `value` 1 counts; the dimensions are fields of the line.
  log_metrics = {
    quire_requests_total = {
      pattern    = "{ $.event = \"request\" }"
      value      = "1"
      unit       = "Count"
      dimensions = {}
    }
    quire_request_milliseconds = {
      pattern    = "{ $.event = \"request\" && $.route != \"ready\" && $.route != \"health\" }"
      value      = "$.milliseconds"
      unit       = "Milliseconds"
      dimensions = {}
    }
    quire_requests_by_status = {
      pattern    = "{ $.event = \"request\" }"
      value      = "1"
      unit       = "Count"
      dimensions = { status = "$.status" }
    }
    quire_uploads_total = {
      pattern    = "{ $.event = \"request\" && $.route = \"upload\" && $.status = 200 }"
      value      = "1"
      unit       = "Count"
      dimensions = {}
    }
    quire_store_errors_total = {
      pattern    = "{ $.event = \"request\" && $.route != \"ready\" && ($.status = 500 || $.status = 503 || $.status = 507) }"
      value      = "1"
      unit       = "Count"
      dimensions = {}
    }
  }
}

resource "aws_cloudwatch_log_group" "service" {
  name              = "/quire/${var.service_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.kms_key_arn
  tags              = local.tags
}

resource "aws_cloudwatch_log_metric_filter" "requests" {
  for_each       = local.log_metrics
  name           = each.key
  log_group_name = aws_cloudwatch_log_group.service.name
  pattern        = each.value.pattern

  metric_transformation {
    name       = each.key
    namespace  = local.metrics_namespace
    value      = each.value.value
    unit       = each.value.unit
    dimensions = each.value.dimensions
  }
}

# Why tasks ended: the first question at night, and ECS itself forgets within the hour.
resource "aws_cloudwatch_log_group" "failed_tasks" {
  name              = "/aws/events/quire/${var.service_name}/failed-tasks"
  retention_in_days = var.log_retention_days
  kms_key_id        = local.kms_key_arn
  tags              = local.tags
}

data "aws_iam_policy_document" "failed_tasks" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.failed_tasks.arn}:*"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com", "delivery.logs.amazonaws.com"]
    }
  }
}

resource "aws_cloudwatch_log_resource_policy" "failed_tasks" {
  policy_name     = "${var.service_name}-failed-tasks"
  policy_document = data.aws_iam_policy_document.failed_tasks.json
}

resource "aws_cloudwatch_event_rule" "failed_tasks" {
  name        = "${var.service_name}-failed-tasks"
  description = "Tasks that ended by themselves or could not start"
  tags        = local.tags
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [aws_ecs_cluster.main.arn]
      group      = ["service:${var.service_name}"] # a backup's task ends by itself
      lastStatus = ["STOPPED"]
      stopCode   = ["TaskFailedToStart", "EssentialContainerExited"]
    }
  })
}

resource "aws_cloudwatch_event_target" "failed_tasks" {
  rule = aws_cloudwatch_event_rule.failed_tasks.name
  arn  = aws_cloudwatch_log_group.failed_tasks.arn
}
