# The volume that all tasks share, unless storage is s3.
#
# The resources have the addresses that they have in the module for pypiserver, or are moved from there: after a change
# of source the file system in the state is the same one, not a new one.

locals {
  uses_volume          = var.storage == "efs"
  create_file_system   = local.uses_volume && var.existing_efs_file_system_id == null
  mount_target_subnets = local.create_file_system ? local.service_subnets : []
  file_system_id       = local.create_file_system ? aws_efs_file_system.volume[0].id : var.existing_efs_file_system_id
  file_system_arn      = local.file_system_id == null ? null : "arn:${local.partition}:elasticfilesystem:${local.region}:${local.account_id}:file-system/${local.file_system_id}"
}

moved {
  from = aws_efs_file_system.packages-enc
  to   = aws_efs_file_system.volume[0]
}

moved {
  from = aws_efs_mount_target.packages-enc
  to   = aws_efs_mount_target.volume
}

resource "aws_efs_file_system" "volume" {
  #checkov:skip=CKV2_AWS_18:backup.tf puts it into a plan, by an ARN that is put together from its id, which the check does not follow.
  count                           = local.create_file_system ? 1 : 0
  creation_token                  = "${var.service_name}-packages"
  encrypted                       = true
  kms_key_id                      = local.kms_key_arn
  performance_mode                = "generalPurpose"
  throughput_mode                 = var.efs_throughput_mode
  provisioned_throughput_in_mibps = var.efs_throughput_mode == "provisioned" ? var.efs_provisioned_throughput_in_mibps : null
  tags                            = merge(local.tags, { Name = "${var.service_name} packages" })

  dynamic "lifecycle_policy" {
    for_each = var.efs_lifecycle_policy != null ? [var.efs_lifecycle_policy] : []

    content {
      transition_to_ia = lifecycle_policy.value == 1 ? "AFTER_1_DAY" : "AFTER_${lifecycle_policy.value}_DAYS"
    }
  }

  dynamic "lifecycle_policy" {
    for_each = var.efs_lifecycle_policy != null ? ["AFTER_1_ACCESS"] : []

    content {
      transition_to_primary_storage_class = lifecycle_policy.value
    }
  }

  lifecycle {
    # All packages are in here.
    prevent_destroy = true

    # Cannot be changed on a file system: one that was made with other values keeps them, and is not replaced.
    ignore_changes = [creation_token, encrypted, kms_key_id, performance_mode]

    precondition {
      condition     = var.efs_throughput_mode != "provisioned" || var.efs_provisioned_throughput_in_mibps != null
      error_message = "efs_throughput_mode is provisioned, so efs_provisioned_throughput_in_mibps must be set."
    }
  }
}

# Under numbers, as the ids of subnets that are made in the same run are not known before; under the ids where the subnets
# have the name of the module for pypiserver, which has its mount targets under them.
resource "aws_efs_mount_target" "volume" {
  for_each        = { for number, id in local.mount_target_subnets : (var.asg_subnets != null ? id : tostring(number)) => id }
  file_system_id  = local.file_system_id
  subnet_id       = each.value
  security_groups = [aws_security_group.efs[0].id]
}

resource "aws_security_group" "efs" {
  count       = local.create_file_system ? 1 : 0
  name_prefix = "${var.service_name}-efs-"
  description = "The volume of the package index"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.service_name} volume" })

  lifecycle {
    # One that the module for pypiserver made stays as it is, and attached to the mount targets.
    ignore_changes = [name_prefix, description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "efs_service" {
  count                        = local.create_file_system ? 1 : 0
  security_group_id            = aws_security_group.efs[0].id
  description                  = "The tasks"
  referenced_security_group_id = aws_security_group.service.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
  tags                         = local.tags
}

# A client that mounts through it is uid and gid 9898, and sees nothing above its directory.
resource "aws_efs_access_point" "packages" {
  #checkov:skip=CKV_AWS_329:The root directory is what pypiserver's volumes are served from; a volume of this module's own gets a directory (efs_root_directory).
  count          = local.uses_volume ? 1 : 0
  file_system_id = local.file_system_id
  tags           = merge(local.tags, { Name = "${var.service_name} packages" })

  posix_user {
    uid = local.uid
    gid = local.uid
  }

  root_directory {
    path = var.efs_root_directory

    # Applies only where the directory does not exist; EFS takes none for the root directory itself.
    dynamic "creation_info" {
      for_each = var.efs_root_directory != "/" ? [local.uid] : []

      content {
        owner_uid   = creation_info.value
        owner_gid   = creation_info.value
        permissions = "0755"
      }
    }
  }
}

# Only the tasks' role, only through the access point, only encrypted. A file system that is not ours keeps its policy:
# this one would lock pypiserver out of it.
data "aws_iam_policy_document" "efs" {
  count = local.create_file_system ? 1 : 0

  statement {
    sid       = "Tasks"
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [local.file_system_arn]

    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.task.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "elasticfilesystem:AccessPointArn"
      values   = [aws_efs_access_point.packages[0].arn]
    }
  }

  statement {
    sid       = "Encrypted"
    effect    = "Deny"
    actions   = ["*"]
    resources = [local.file_system_arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_efs_file_system_policy" "packages" {
  count          = local.create_file_system ? 1 : 0
  file_system_id = local.file_system_id
  policy         = data.aws_iam_policy_document.efs[0].json
}
