# The container: what is run, with which settings, mounts and rights.

locals {
  uid            = 9898             # as in pypiserver's image, so that its volumes fit
  packages_path  = "/data/packages" # the volume; with a bucket, room on the task's own disk
  scratch_path   = "/tmp"
  container_name = "quire"

  # Word for word what the module for pypiserver runs, but for the server. There is no /data/.htpasswd in the container:
  # the image's entry point then takes the one in QUIRE_HTPASSWD.
  container_command = concat(
    ["run", "-p", tostring(local.container_port), "--server", var.server, "--backend", "simple-dir"],
    ["--authenticate", join(",", var.authenticate), "-P", "/data/.htpasswd"],
    var.disable_fallback ? ["--disable-fallback"] : [],
    var.extra_arguments,
    local.uses_bucket ? [local.bucket_url] : [],
  )

  container_environment = merge(
    {
      GUNICORN_WORKERS = tostring(local.workers)
      # whose X-Forwarded-For and -Proto are believed, which the load balancer sets; it passes all others on as they come
      QUIRE_TRUSTED_PROXIES = join(",", data.aws_subnet.load_balancer[*].cidr_block)
      QUIRE_VERBOSE         = "1" # a line for each request, from which the metrics are made
      QUIRE_LOG_FORMAT      = "json"
      QUIRE_DRAIN_SECONDS   = "5" # should a load balancer's node hear late that the task is going
      # longer than the load balancer does: else some requests would be sent into a connection that is being closed
      QUIRE_KEEP_ALIVE_SECONDS = tostring(var.idle_timeout + 15)
    },
    # Uploads are kept here while they arrive: on the disk that each task has, not in the memory that /tmp is.
    local.uses_bucket ? { AWS_REGION = local.region, TMPDIR = local.packages_path } : {},
    var.environment_variables,
  )

  container_definition = {
    name      = local.container_name
    image     = local.image
    essential = true
    command   = local.container_command
    user      = "${local.uid}:${local.uid}"

    environment = [for name, value in local.container_environment : { name = name, value = value }]
    secrets = [{
      name      = "QUIRE_HTPASSWD"
      valueFrom = "${aws_secretsmanager_secret.htpasswd.arn}:::${aws_secretsmanager_secret_version.htpasswd.version_id}"
    }]

    portMappings = [{ containerPort = local.container_port, hostPort = local.container_port, protocol = "tcp" }]

    readonlyRootFilesystem = true
    # With a bucket as well: a mount on Fargate belongs to root, unless the image has a VOLUME with another owner there.
    mountPoints    = [{ sourceVolume = local.uses_bucket ? "scratch" : "packages", containerPath = local.packages_path, readOnly = false }]
    volumesFrom    = []
    systemControls = []
    # The memory at /tmp: with a volume the catalog of the search is there, 2 KB for each project. Only what is used counts.
    linuxParameters = {
      capabilities = { add = [], drop = ["ALL"] }
      tmpfs        = [{ containerPath = local.scratch_path, size = floor(local.memory / 4), mountOptions = ["rw", "noexec", "nosuid", "nodev"] }]
    }

    # Alive, not ready: the load balancer asks for that, and gives a task that has lost its store no requests. ECS replaces a
    # task that fails either check.
    healthCheck = {
      command     = ["CMD", "/opt/quire/bin/python", "-P", "-m", "quire_image.health"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 15
    }
    stopTimeout = var.stop_timeout

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.service.name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = var.service_name
        "mode"                  = "non-blocking" # a log service that is slow must not make the index slow
        "max-buffer-size"       = "16m"
      }
    }
  }
}
