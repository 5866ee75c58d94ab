output "pypi_server_urls" {
  description = "Where the index is, one URL for each of dns_names."
  value       = [for name in local.hostnames : "https://${name}"]
}

output "pypi_username" {
  description = "The user. null when the secret is an existing one and password_in_state is false."
  sensitive   = true
  value       = var.password_in_state ? jsondecode(data.aws_secretsmanager_secret_version.user[0].secret_string)["username"] : (local.create_user_secret ? var.pypi_username : null)
}

output "pypi_password" {
  description = "The password, when password_in_state is true; else null, and it is in the secret pypi_user_secret_arn only."
  sensitive   = true
  value       = var.password_in_state ? jsondecode(data.aws_secretsmanager_secret_version.user[0].secret_string)["password"] : null
}

output "pypi_user_secret" {
  description = "The id of the secret with user and password as JSON, which is its ARN."
  value       = local.user_secret_arn
}

output "pypi_user_secret_arn" {
  description = "The ARN of the secret with user and password as JSON."
  value       = local.user_secret_arn
}

output "pypi_load_balancer_arn" {
  description = "The ARN of the load balancer."
  value       = aws_lb.main.arn
}

output "pypi_load_balancer_dns_name" {
  description = "The load balancer's own name, to try the deployment before the names lead to it."
  value       = aws_lb.main.dns_name
}

output "pypi_load_balancer_security_group_id" {
  description = "The load balancer's security group, for rules of your own."
  value       = aws_security_group.load_balancer.id
}

output "ecs_cluster_name" {
  description = "The name of the cluster."
  value       = aws_ecs_cluster.main.name
}

output "ecs_service_name" {
  description = "The name of the service."
  value       = aws_ecs_service.main.name
}

output "ecs_service_arn" {
  description = "The ARN of the service."
  value       = aws_ecs_service.main.arn
}

output "ecs_task_definition_arn" {
  description = "The ARN of the task definition with its revision, for one-off tasks such as `quire check`."
  value       = aws_ecs_task_definition.main.arn
}

output "ecs_service_security_group_id" {
  description = "The tasks' security group: what the mount targets of an existing file system must let in."
  value       = aws_security_group.service.id
}

output "task_min_count" {
  description = "The smallest number of tasks."
  value       = local.task_min_count
}

output "efs_file_system_id" {
  description = "The id of the volume; null with a bucket."
  value       = local.file_system_id
}

output "efs_access_point_id" {
  description = "The id of the access point through which the tasks mount the volume; null with a bucket."
  value       = one(aws_efs_access_point.packages[*].id)
}

output "bucket_url" {
  description = "What is served, as quire's commands take it, such as s3://bucket/packages; null with a volume."
  value       = local.bucket_url
}

output "bucket_arn" {
  description = "The ARN of the bucket; null with a volume."
  value       = local.bucket_arn
}

output "cloudwatch_dashboard_url" {
  description = "The dashboard in the console; null without one."
  value       = var.enable_cloudwatch_dashboard ? "https://console.aws.amazon.com/cloudwatch/home?region=${local.region}#dashboards:name=${aws_cloudwatch_dashboard.main[0].dashboard_name}" : null
}

output "cloudwatch_log_group_name" {
  description = "The log group of the tasks."
  value       = aws_cloudwatch_log_group.service.name
}

output "cloudwatch_failed_tasks_log_group_name" {
  description = "The log group with the reasons for which tasks ended."
  value       = aws_cloudwatch_log_group.failed_tasks.name
}

output "cloudwatch_metrics_namespace" {
  description = "The namespace of quire's own metrics."
  value       = local.metrics_namespace
}

output "cloudwatch_alarm_sns_topic_arn" {
  description = "The topic that gets the alarms."
  value       = aws_sns_topic.alarms.arn
}

output "cloudwatch_alarm_arns" {
  description = "The ARNs of the alarms, by what they watch; null for one that the storage or its throughput mode makes needless."
  value = {
    server_errors            = aws_cloudwatch_metric_alarm.server_errors.arn
    load_balancer_errors     = aws_cloudwatch_metric_alarm.load_balancer_errors.arn
    latency                  = aws_cloudwatch_metric_alarm.latency.arn
    unhealthy_targets        = aws_cloudwatch_metric_alarm.unhealthy_targets.arn
    running_tasks            = aws_cloudwatch_metric_alarm.running_tasks.arn
    failed_tasks             = aws_cloudwatch_metric_alarm.failed_tasks.arn
    store_errors             = aws_cloudwatch_metric_alarm.store_errors.arn
    efs_burst_credits        = one(aws_cloudwatch_metric_alarm.efs_burst_credit_balance[*].arn)
    efs_throughput_high      = one(aws_cloudwatch_metric_alarm.efs_throughput_utilization[*].arn)
    efs_permitted_throughput = one(aws_cloudwatch_metric_alarm.efs_permitted_throughput[*].arn)
    bucket_errors            = one(aws_cloudwatch_metric_alarm.bucket_errors[*].arn)
  }
}
