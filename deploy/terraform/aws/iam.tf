# Two roles: ECS starts a task with one, the program in it has the other, which can use its store and nothing else.

data "aws_iam_policy_document" "tasks_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

resource "aws_iam_role" "execution" {
  name_prefix        = "${var.service_name}-exec-"
  description        = "Starts the tasks: image, secret, log"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
  tags               = local.tags
}

locals {
  # 123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/quire-index: account, region, repository; [] for other registries.
  ecr = flatten(regexall("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/(.+)$", var.docker_image))
}

data "aws_iam_policy_document" "execution" {
  #checkov:skip=CKV_AWS_356:ecr:GetAuthorizationToken, the one action on `*`, can be granted on nothing else.
  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.service.arn}:*"]
  }

  statement {
    sid       = "Htpasswd"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.htpasswd.arn]
  }

  statement {
    sid       = "HtpasswdKey"
    actions   = ["kms:Decrypt"]
    resources = [local.kms_key_arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${local.region}.amazonaws.com"]
    }
  }

  dynamic "statement" {
    for_each = length(local.ecr) > 0 ? [local.ecr] : []

    content {
      sid       = "Image"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["arn:${local.partition}:ecr:${statement.value[1]}:${statement.value[0]}:repository/${statement.value[2]}"]
    }
  }

  dynamic "statement" {
    for_each = length(local.ecr) > 0 ? ["*"] : []

    content {
      sid       = "Registry"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "execution" {
  name   = "start-tasks"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}

resource "aws_iam_role" "task" {
  name_prefix        = "${var.service_name}-task-"
  description        = "The tasks themselves: the store"
  assume_role_policy = data.aws_iam_policy_document.tasks_assume.json
  tags               = local.tags
}

data "aws_iam_policy_document" "task" {
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
    for_each = local.uses_bucket ? ["${local.bucket_arn}/${var.bucket_prefix}/*"] : []

    content {
      sid       = "Objects"
      actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
      resources = [statement.value]
    }
  }

  # A client that may not list gets 403 for an object that is not there, and quire has to know which ones are not. Such a request
  # has no s3:prefix, so the condition must let requests without one pass.
  dynamic "statement" {
    for_each = local.uses_bucket ? [local.bucket_arn] : []

    content {
      sid       = "Names"
      actions   = ["s3:ListBucket", "s3:ListBucketMultipartUploads"]
      resources = [statement.value]

      condition {
        test     = "StringLikeIfExists"
        variable = "s3:prefix"
        values   = ["${var.bucket_prefix}/*"]
      }
    }
  }

  # `quire doctor` reads these settings of the bucket. Nothing here changes one.
  dynamic "statement" {
    for_each = local.uses_bucket ? [local.bucket_arn] : []

    content {
      sid       = "Settings"
      resources = [statement.value]
      actions = [
        "s3:GetBucketLocation",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetBucketVersioning",
        "s3:GetEncryptionConfiguration",
        "s3:GetLifecycleConfiguration",
      ]
    }
  }

  # Decrypt as well: S3 needs it for the parts of a large upload.
  dynamic "statement" {
    for_each = local.bucket_uses_kms ? [local.bucket_kms_key_arn] : []

    content {
      sid       = "Key"
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

resource "aws_iam_role_policy" "task" {
  name   = "store"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.task.json
}
