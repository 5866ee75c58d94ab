# Backups of the volume. A backup is taken while the index is used; why that is enough: docs/aws.md. A bucket keeps
# versions instead: bucket.tf.

locals {
  back_up_volume = local.uses_volume && var.enable_efs_backup
}

data "aws_iam_policy_document" "backup_assume" {
  count = local.back_up_volume ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["backup.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "backup" {
  count              = local.back_up_volume ? 1 : 0
  name_prefix        = "${substr(var.service_name, 0, 30)}-backup-" # 38 characters at most
  assume_role_policy = data.aws_iam_policy_document.backup_assume[0].json
  tags               = local.tags
}

resource "aws_iam_role_policy_attachment" "backup" {
  count      = local.back_up_volume ? 1 : 0
  role       = aws_iam_role.backup[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup"
}

resource "aws_iam_role_policy_attachment" "backup_restore" {
  count      = local.back_up_volume ? 1 : 0
  role       = aws_iam_role.backup[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForRestores"
}

resource "aws_backup_vault" "efs" {
  count         = local.back_up_volume ? 1 : 0
  name          = "${var.service_name}-efs-backup"
  kms_key_arn   = local.kms_key_arn
  force_destroy = var.backups_force_destroy
  tags          = local.tags

  lifecycle {
    ignore_changes = [kms_key_arn] # cannot be changed on a vault: one that exists keeps its key and its backups
  }
}

resource "aws_backup_plan" "efs" {
  count = local.back_up_volume ? 1 : 0
  name  = "${var.service_name}-efs-backup-plan"
  tags  = local.tags

  rule {
    rule_name         = "scheduled"
    target_vault_name = aws_backup_vault.efs[0].name
    schedule          = var.backup_schedule
    start_window      = 60
    completion_window = 720

    lifecycle {
      delete_after = var.backup_retention_days
    }
  }
}

resource "aws_backup_selection" "efs" {
  count        = local.back_up_volume ? 1 : 0
  name         = "${substr(var.service_name, 0, 29)}-efs-backup-selection" # 50 characters at most
  plan_id      = aws_backup_plan.efs[0].id
  iam_role_arn = aws_iam_role.backup[0].arn
  resources    = [local.file_system_arn]
}
