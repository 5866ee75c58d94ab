# The bucket, with storage = "s3": what all tasks share instead of a volume.

locals {
  uses_bucket   = var.storage == "s3"
  create_bucket = local.uses_bucket && var.existing_bucket == null
  bucket_id     = local.create_bucket ? aws_s3_bucket.packages[0].id : var.existing_bucket
  bucket_arn    = local.uses_bucket ? "arn:${local.partition}:s3:::${local.bucket_id}" : null
  bucket_url    = local.uses_bucket ? "s3://${local.bucket_id}/${var.bucket_prefix}" : null

  # The key that the tasks need, if it is none of Amazon's own.
  bucket_uses_kms    = local.create_bucket ? var.bucket_encryption == "aws:kms" : local.uses_bucket && var.existing_bucket_kms_key_arn != null
  bucket_kms_key_arn = local.create_bucket ? local.kms_key_arn : var.existing_bucket_kms_key_arn

  s3_endpoint_route_table_ids = var.s3_endpoint_route_table_ids != null ? var.s3_endpoint_route_table_ids : []

  bucket_filter     = "packages"
  bucket_dimensions = { BucketName = local.bucket_id, FilterId = local.bucket_filter }
}

resource "aws_s3_bucket" "packages" {
  #checkov:skip=CKV_AWS_18:The tasks' own log has a line for each request, with its user; S3 writes one for each validation as well.
  #checkov:skip=CKV_AWS_144:A copy in another region is a decision of its own, and no second index: docs/operations.md.
  #checkov:skip=CKV2_AWS_62:No program waits for new objects.
  count         = local.create_bucket ? 1 : 0
  bucket_prefix = "${substr(var.service_name, 0, 24)}-packages-"
  tags          = merge(local.tags, { Name = "${var.service_name} packages" })

  lifecycle {
    # All packages are in here.
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_public_access_block" "packages" {
  count                   = local.create_bucket ? 1 : 0
  bucket                  = aws_s3_bucket.packages[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "packages" {
  count  = local.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "packages" {
  count  = local.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id

  rule {
    bucket_key_enabled = var.bucket_encryption == "aws:kms" # else each object is a request to KMS

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.bucket_encryption
      kms_master_key_id = var.bucket_encryption == "aws:kms" ? local.kms_key_arn : null
    }
  }
}

# What was replaced or deleted stays for a while: the backup of a bucket.
resource "aws_s3_bucket_versioning" "packages" {
  count  = local.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

# Never a rule that expires current objects: what is listed would be gone.
resource "aws_s3_bucket_lifecycle_configuration" "packages" {
  count  = local.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }

    noncurrent_version_expiration {
      noncurrent_days = var.bucket_noncurrent_days
    }

    expiration {
      expired_object_delete_marker = true # marks of deletions under which no version is left
    }
  }

  depends_on = [aws_s3_bucket_versioning.packages]
}

data "aws_iam_policy_document" "bucket" {
  count = local.create_bucket ? 1 : 0

  statement {
    sid       = "NoPlainHttp"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [local.bucket_arn, "${local.bucket_arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "packages" {
  count  = local.create_bucket ? 1 : 0
  bucket = aws_s3_bucket.packages[0].id
  policy = data.aws_iam_policy_document.bucket[0].json

  depends_on = [aws_s3_bucket_public_access_block.packages]
}

# Requests by kind and their latency, for the dashboard and an alarm.
resource "aws_s3_bucket_metric" "packages" {
  count  = local.uses_bucket ? 1 : 0
  bucket = local.bucket_id
  name   = local.bucket_filter

  filter {
    prefix = "${var.bucket_prefix}/"
  }
}

# Its policy is the default one, which forbids nothing: all that these subnets ask of S3 goes this way, the image's
# layers and other people's programs too. What the tasks may do is in their role.
resource "aws_vpc_endpoint" "s3" {
  count             = local.uses_bucket && length(local.s3_endpoint_route_table_ids) > 0 ? 1 : 0
  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.s3_endpoint_route_table_ids
  tags              = merge(local.tags, { Name = "${var.service_name} S3" })
}
