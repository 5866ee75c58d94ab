# The credentials: generated into Secrets Manager, never in the state.
#
# Theory of operation. There are two secrets. `user` has the password in clear, for people and for CI. `htpasswd` has the
# line `user:bcrypt-hash`, which is all that the tasks get. The hash is made from what the first secret holds, not from
# what was generated a moment ago: an ephemeral value is a new one in each run, and a run may end between the two writes.
# So the second secret can be behind the first, and the next run makes it right, but they never disagree for good.
# Both are written when password_version changes, and at no other time. The task definition names the version of
# `htpasswd` that it takes, so a new password is a new task definition, and ECS rolls it out.

locals {
  create_user_secret  = var.existing_user_secret_arn == null
  user_secret_arn     = local.create_user_secret ? aws_secretsmanager_secret.user[0].arn : var.existing_user_secret_arn
  user_secret_version = one(aws_secretsmanager_secret_version.user[*].version_id) # null, of an existing one: its current one
  secret_readers      = var.secret_readers != null ? var.secret_readers : []
}

ephemeral "aws_secretsmanager_random_password" "user" {
  count               = local.create_user_secret ? 1 : 0
  password_length     = 32
  exclude_punctuation = true # people put it into URLs and .netrc
}

resource "aws_secretsmanager_secret" "user" {
  #checkov:skip=CKV2_AWS_57:A new password is made by raising password_version, when the clients can take it; nothing here could hand it to them.
  count       = local.create_user_secret ? 1 : 0
  name_prefix = "${var.service_name}-user-"
  description = "User and password of the package index, as JSON"
  kms_key_id  = local.kms_key_arn
  tags        = local.tags
}

resource "aws_secretsmanager_secret_version" "user" {
  count     = local.create_user_secret ? 1 : 0
  secret_id = aws_secretsmanager_secret.user[0].id
  secret_string_wo = jsonencode({
    username = var.pypi_username
    password = ephemeral.aws_secretsmanager_random_password.user[0].random_password
  })
  secret_string_wo_version = var.password_version
}

ephemeral "aws_secretsmanager_secret_version" "user" {
  secret_id  = local.user_secret_arn
  version_id = local.user_secret_version
}

resource "aws_secretsmanager_secret" "htpasswd" {
  #checkov:skip=CKV2_AWS_57:It follows the password of the other secret and is written with it.
  name_prefix = "${var.service_name}-htpasswd-"
  description = "The htpasswd file of the package index; its tasks read it"
  kms_key_id  = local.kms_key_arn
  tags        = local.tags
}

resource "aws_secretsmanager_secret_version" "htpasswd" {
  secret_id = aws_secretsmanager_secret.htpasswd.id
  secret_string_wo = format(
    "%s:%s\n",
    jsondecode(ephemeral.aws_secretsmanager_secret_version.user.secret_string)["username"],
    bcrypt(jsondecode(ephemeral.aws_secretsmanager_secret_version.user.secret_string)["password"]),
  )
  secret_string_wo_version = var.password_version
}

data "aws_iam_policy_document" "secret_readers" {
  count = local.create_user_secret && length(local.secret_readers) > 0 ? 1 : 0

  statement {
    sid       = "Readers"
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [aws_secretsmanager_secret.user[0].arn]

    principals {
      type        = "AWS"
      identifiers = local.secret_readers
    }
  }
}

resource "aws_secretsmanager_secret_policy" "user" {
  count               = local.create_user_secret && length(local.secret_readers) > 0 ? 1 : 0
  secret_arn          = aws_secretsmanager_secret.user[0].arn
  policy              = data.aws_iam_policy_document.secret_readers[0].json
  block_public_policy = true
}

# Only for who asks for it: what a data source reads is in the state.
data "aws_secretsmanager_secret_version" "user" {
  count      = var.password_in_state ? 1 : 0
  secret_id  = local.user_secret_arn
  version_id = local.user_secret_version
}
