# Backups by `quire backup` into a bucket of your own, which may be of another account: a task that a schedule starts.

locals {
  back_up      = var.backup_place != null
  place        = local.back_up ? regex("^s3://([^/]+)/(.+)$", var.backup_place) : ["", ""]
  place_arn    = "arn:${local.partition}:s3:::${local.place[0]}"
  place_prefix = local.place[1]
  store        = local.uses_bucket ? local.bucket_url : local.packages_path

  backup_container_definition = merge(local.container_definition, {
    name         = "backup"
    command      = ["backup", var.backup_place, "--keep", tostring(var.backup_place_keep), "--directory", local.store]
    portMappings = []
    secrets      = []
    environment = concat(
      [
        { name = "AWS_REGION", value = local.region },
        { name = "QUIRE_LOG_FORMAT", value = "json" },
        { name = "QUIRE_VERBOSE", value = "1" }, # a line for each backup, which the alarm below counts
      ],
      local.uses_bucket ? [{ name = "TMPDIR", value = local.packages_path }] : [],
    )
    healthCheck = null
  })
}

resource "aws_ecs_task_definition" "backup" {
  count                    = local.back_up ? 1 : 0
  family                   = "${var.service_name}-backup"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "512"
  memory                   = "1024"
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.scheduled_backup[0].arn
  container_definitions    = jsonencode([{ for name, value in local.backup_container_definition : name => value if value != null }])
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

  dynamic "volume" {
    for_each = local.uses_bucket ? ["scratch"] : []

    content {
      name = volume.value
    }
  }
}

# It reads the packages, and writes backups and the time of the last one.
resource "aws_iam_role" "scheduled_backup" {
  count              = local.back_up ? 1 : 0
  name_prefix        = "${substr(var.service_name, 0, 24)}-backups-"
  description        = "Reads the store and writes backups"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
  tags               = local.tags
}

data "aws_iam_policy_document" "scheduled_backup" {
  count = local.back_up ? 1 : 0

  dynamic "statement" {
    for_each = aws_efs_access_point.packages[*].arn

    content {
      sid       = "Volume"
      actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
      resources = [local.file_system_arn]

      condition {
        test     = "StringEquals"
        variable = "elasticfilesystem:AccessPointArn"
        values   = [statement.value]
      }
    }
  }

  dynamic "statement" {
    for_each = local.uses_bucket ? ["${local.bucket_arn}/${var.bucket_prefix}"] : []

    content {
      sid       = "Packages"
      actions   = ["s3:GetObject"]
      resources = ["${statement.value}/*"]
    }
  }

  dynamic "statement" {
    for_each = local.uses_bucket ? ["${local.bucket_arn}/${var.bucket_prefix}"] : []

    content {
      sid       = "Time"
      actions   = ["s3:PutObject"]
      resources = ["${statement.value}/records/access/backups/*", "${statement.value}/names/access/backups*"]
    }
  }

  # As for the tasks: who may not list gets 403 for what is not there. Such a request has no s3:prefix.
  dynamic "statement" {
    for_each = local.uses_bucket ? [local.bucket_arn] : []

    content {
      sid       = "Names"
      actions   = ["s3:ListBucket"]
      resources = [statement.value]

      condition {
        test     = "StringLikeIfExists"
        variable = "s3:prefix"
        values   = ["${var.bucket_prefix}/*"]
      }
    }
  }

  statement {
    sid       = "Backups"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${local.place_arn}/${local.place_prefix}/*"]
  }

  statement {
    sid       = "BackupNames"
    actions   = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [local.place_arn]

    condition {
      test     = "StringLikeIfExists"
      variable = "s3:prefix"
      values   = ["${local.place_prefix}/*"]
    }
  }

  dynamic "statement" {
    for_each = [for arn in [local.bucket_uses_kms ? local.bucket_kms_key_arn : null, var.backup_place_kms_key_arn] : arn if arn != null]

    content {
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["s3.${local.region}.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role_policy" "scheduled_backup" {
  count  = local.back_up ? 1 : 0
  name   = "backups"
  role   = aws_iam_role.scheduled_backup[0].id
  policy = data.aws_iam_policy_document.scheduled_backup[0].json
}

data "aws_iam_policy_document" "scheduler_assume" {
  count = local.back_up ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role" "scheduler" {
  count              = local.back_up ? 1 : 0
  name_prefix        = "${substr(var.service_name, 0, 24)}-schedule-"
  description        = "Starts the task that makes backups"
  assume_role_policy = data.aws_iam_policy_document.scheduler_assume[0].json
  tags               = local.tags
}

data "aws_iam_policy_document" "scheduler" {
  count = local.back_up ? 1 : 0

  statement {
    sid       = "Start"
    actions   = ["ecs:RunTask"]
    resources = ["${aws_ecs_task_definition.backup[0].arn_without_revision}:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.main.arn]
    }
  }

  # propagate_tags: ECS refuses to start a task with tags without it.
  statement {
    sid       = "Tags"
    actions   = ["ecs:TagResource"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account_id}:task/${aws_ecs_cluster.main.name}/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "Roles"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.execution.arn, aws_iam_role.scheduled_backup[0].arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "scheduler" {
  count  = local.back_up ? 1 : 0
  name   = "start-backups"
  role   = aws_iam_role.scheduler[0].id
  policy = data.aws_iam_policy_document.scheduler[0].json
}

resource "aws_scheduler_schedule" "backup" {
  #checkov:skip=CKV_AWS_297:The schedule holds no secret, only names of resources.
  count               = local.back_up ? 1 : 0
  name                = "${var.service_name}-backup"
  description         = "quire backup"
  schedule_expression = var.backup_place_schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.main.arn
    role_arn = aws_iam_role.scheduler[0].arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.backup[0].arn
      launch_type         = "FARGATE"
      propagate_tags      = "TASK_DEFINITION"

      network_configuration {
        subnets          = local.service_subnets
        security_groups  = [aws_security_group.service.id]
        assign_public_ip = false
      }
    }

    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 5
    }
  }

  depends_on = [aws_iam_role_policy.scheduler, aws_iam_role_policy.scheduled_backup]
}

# A whole backup logs one line: the alarm goes off when there was none for 36 hours, whatever the reason. A day would be too
# short, as one night's backup may take longer than the last one's. All other lines count as 0: where it finds no numbers
# CloudWatch looks further back, and would see the last backup for longer.
resource "aws_cloudwatch_log_metric_filter" "backups" {
  count          = local.back_up ? 1 : 0
  name           = "quire_backups_total"
  log_group_name = aws_cloudwatch_log_group.service.name
  pattern        = "{ $.event = \"backed up\" && $.missing = 0 }"

  metric_transformation {
    name          = "quire_backups_total"
    namespace     = local.metrics_namespace
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "backups" {
  count               = local.back_up ? 1 : 0
  alarm_name          = "${var.service_name}-backups"
  alarm_description   = "There was no whole backup for a day and a half. The streams of the container backup in the service's log group say why."
  namespace           = local.metrics_namespace
  metric_name         = aws_cloudwatch_log_metric_filter.backups[0].name
  statistic           = "Sum"
  period              = 43200
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_topics
  ok_actions          = local.alarm_topics
  tags                = local.tags
}
