# One page for the question "is it us, the load balancer, or the store?".

locals {
  # Each widget: a title, its metrics as CloudWatch writes them, and how wide it is of 24 columns.
  common_widgets = [
    {
      title = "Requests a minute and errors"
      stat  = "Sum"
      metrics = [
        ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", aws_lb.main.arn_suffix],
        ["AWS/ApplicationELB", "HTTPCode_Target_4XX_Count", "LoadBalancer", aws_lb.main.arn_suffix],
        ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", aws_lb.main.arn_suffix],
        ["AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "LoadBalancer", aws_lb.main.arn_suffix],
      ]
    },
    {
      title = "Seconds until the tasks answer"
      stat  = "p99"
      metrics = [
        ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", aws_lb.main.arn_suffix, { stat = "p50", label = "half" }],
        ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", aws_lb.main.arn_suffix, { stat = "p99", label = "99 of 100" }],
      ]
    },
    {
      title = "quire: requests, uploads, store errors"
      stat  = "Sum"
      metrics = [
        [local.metrics_namespace, "quire_requests_total"],
        [local.metrics_namespace, "quire_uploads_total"],
        [local.metrics_namespace, "quire_store_errors_total"],
      ]
    },
    {
      title = "quire: requests by status"
      stat  = "Sum"
      metrics = [
        [{ expression = "SEARCH('{\"${local.metrics_namespace}\",status} quire_requests_by_status', 'Sum', 60)", id = "by_status", label = "" }],
      ]
    },
    {
      title = "quire: milliseconds of a request"
      stat  = "p99"
      metrics = [
        [local.metrics_namespace, "quire_request_milliseconds", { stat = "p50", label = "half" }],
        [local.metrics_namespace, "quire_request_milliseconds", { stat = "p99", label = "99 of 100" }],
      ]
    },
    {
      title = "Healthy and unhealthy targets, running tasks"
      stat  = "Maximum"
      metrics = [
        ["AWS/ApplicationELB", "HealthyHostCount", "TargetGroup", aws_lb_target_group.main.arn_suffix, "LoadBalancer", aws_lb.main.arn_suffix],
        ["AWS/ApplicationELB", "UnHealthyHostCount", "TargetGroup", aws_lb_target_group.main.arn_suffix, "LoadBalancer", aws_lb.main.arn_suffix],
        ["ECS/ContainerInsights", "RunningTaskCount", "ServiceName", aws_ecs_service.main.name, "ClusterName", aws_ecs_cluster.main.name],
      ]
    },
    {
      title = "Tasks: percent of CPU and memory"
      stat  = "Average"
      metrics = [
        ["AWS/ECS", "CPUUtilization", "ServiceName", aws_ecs_service.main.name, "ClusterName", aws_ecs_cluster.main.name],
        ["AWS/ECS", "MemoryUtilization", "ServiceName", aws_ecs_service.main.name, "ClusterName", aws_ecs_cluster.main.name],
      ]
    },
  ]

  volume_widgets = [
    {
      title = "Volume: bytes by kind (validations are metadata reads)"
      stat  = "Sum"
      metrics = [
        ["AWS/EFS", "DataReadIOBytes", "FileSystemId", local.file_system_id],
        ["AWS/EFS", "DataWriteIOBytes", "FileSystemId", local.file_system_id],
        ["AWS/EFS", "MetadataReadIOBytes", "FileSystemId", local.file_system_id],
        ["AWS/EFS", "MetadataWriteIOBytes", "FileSystemId", local.file_system_id],
      ]
    },
    {
      title = "Volume: percent of its limit of operations, connections"
      stat  = "Maximum"
      metrics = [
        ["AWS/EFS", "PercentIOLimit", "FileSystemId", local.file_system_id],
        ["AWS/EFS", "ClientConnections", "FileSystemId", local.file_system_id, { stat = "Sum", yAxis = "right" }],
      ]
    },
  ]

  bucket_widgets = [
    {
      title = "Bucket: requests by kind (validations are GETs)"
      stat  = "Sum"
      metrics = [
        ["AWS/S3", "GetRequests", "BucketName", local.bucket_id, "FilterId", local.bucket_filter],
        ["AWS/S3", "PutRequests", "BucketName", local.bucket_id, "FilterId", local.bucket_filter],
        ["AWS/S3", "DeleteRequests", "BucketName", local.bucket_id, "FilterId", local.bucket_filter],
        ["AWS/S3", "ListRequests", "BucketName", local.bucket_id, "FilterId", local.bucket_filter],
        ["AWS/S3", "5xxErrors", "BucketName", local.bucket_id, "FilterId", local.bucket_filter, { yAxis = "right" }],
      ]
    },
    {
      title = "Bucket: milliseconds until the first byte"
      stat  = "p99"
      metrics = [
        ["AWS/S3", "FirstByteLatency", "BucketName", local.bucket_id, "FilterId", local.bucket_filter, { stat = "p50", label = "half" }],
        ["AWS/S3", "FirstByteLatency", "BucketName", local.bucket_id, "FilterId", local.bucket_filter, { stat = "p99", label = "99 of 100" }],
      ]
    },
  ]

  dashboard_widgets = concat(
    local.common_widgets,
    [for widget in local.volume_widgets : widget if local.uses_volume],
    [for widget in local.bucket_widgets : widget if local.uses_bucket],
  )

  dashboard = {
    widgets = concat(
      [for number, widget in local.dashboard_widgets : {
        type   = "metric"
        x      = 8 * (number % 3)
        y      = 6 * floor(number / 3)
        width  = 8
        height = 6
        properties = {
          title   = widget.title
          region  = local.region
          view    = "timeSeries"
          stat    = widget.stat
          period  = 60
          metrics = widget.metrics
        }
      }],
      [{
        type   = "log"
        x      = 0
        y      = 6 * ceil(length(local.dashboard_widgets) / 3)
        width  = 24
        height = 6
        properties = {
          title  = "Requests that failed"
          region = local.region
          view   = "table"
          query  = "SOURCE '${aws_cloudwatch_log_group.service.name}' | fields @timestamp, method, path, status, milliseconds | filter status >= 500 | sort @timestamp desc | limit 50"
        }
      }],
    )
  }
}

resource "aws_cloudwatch_dashboard" "main" {
  count          = var.enable_cloudwatch_dashboard ? 1 : 0
  dashboard_name = var.service_name
  dashboard_body = jsonencode(local.dashboard)
}
