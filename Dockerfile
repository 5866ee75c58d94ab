# The container image of quire: Python, the locked dependencies, quire, and nothing that builds or installs.
#
#   scripts/image                              builds quire-index:latest with podman or docker, as pip is set up on this machine
#   docker build -t quire-index .                    the same where pip needs no settings (podman: --format docker, for the health check)
#
# BASE is any Debian with a Python from 3.11 on, and its venv in the build stage: the slim Python images, or a Debian
# of your own. Settings of pip (an index of your own, its credentials, its certificates) come as secrets of the build,
# `pip` (a pip.conf) and `ca` (a bundle of certificates); they exist while a command runs and are in no layer.
# The digest keeps the base the same from build to build; `make pin-images` moves it to what the tag stands for today.
ARG BASE=docker.io/library/python:3.13-slim-trixie@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS builder
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Environment variables of pip can be given as build arguments as well; what is given so can be seen in the build's
# cache, so credentials belong into the secret.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_PROXY
ARG PIP_DEFAULT_TIMEOUT
ARG PIP_RETRIES
COPY requirements/image-build.txt requirements/image.txt requirements/run.txt requirements/
# botocore describes each service of AWS: some 25 MB, of which quire uses a few files.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    --mount=type=cache,target=/root/.cache/pip \
    if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; fi \
    && python3 -m venv tools \
    && tools/bin/pip install --quiet --require-hashes --only-binary :all: -r requirements/image-build.txt \
    && python3 -m venv --without-pip /opt/quire \
    && tools/bin/pip --python /opt/quire/bin/python install --quiet --require-hashes --only-binary :all: \
        -r requirements/run.txt -r requirements/image.txt \
    && cd "$(/opt/quire/bin/python -P -c 'import botocore; print(botocore.__path__[0])')/data" \
    && find . -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name 'sso*' ! -name signin -exec rm -r {} +
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY deploy/image/quire_image quire_image
# The bill of materials is taken from what is installed, not from what was asked for.
RUN tools/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir dist . \
    && tools/bin/pip --python /opt/quire/bin/python install --quiet --no-index --no-deps dist/*.whl \
    && cp -r quire_image "$(/opt/quire/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && /opt/quire/bin/python -m compileall -q /opt/quire/lib \
    && mkdir -p /opt/quire/share/sbom \
    && tools/bin/cyclonedx-py environment --output-reproducible --of JSON \
        --pyproject pyproject.toml -o /opt/quire/share/sbom/quire.cdx.json /opt/quire/bin/python

FROM ${BASE}
# pypiserver's image has the same user, the same home, the same volume and the same port
RUN groupadd --gid 9898 quire \
    && useradd --uid 9898 --gid 9898 --home-dir /data --no-create-home --shell /usr/sbin/nologin quire \
    && mkdir -p /data/packages \
    && chown -R 9898:9898 /data
COPY --from=builder /opt/quire /opt/quire
# Slim Pythons come without their own bytecode, and a container that cannot write would compile it at every start: this
# keeps what quire loads.
RUN PYTHONDONTWRITEBYTECODE= /opt/quire/bin/python -P -c "import quire.cli; quire.cli.make_parser(); \
import quire.http.entry, quire.servers.with_uvicorn, quire.servers.with_gunicorn, quire.store.bucket.client, quire.store.bucket.store, quire_image.health"
ENV PATH=/opt/quire/bin:$PATH \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
ARG VERSION=""
ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
ARG BASE
LABEL org.opencontainers.image.title="quire" \
    org.opencontainers.image.description="A private Python package index whose every worker tells the truth at once" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.base.name="${BASE}"
WORKDIR /data
VOLUME ["/data/packages"]
EXPOSE 8080
USER 9898:9898
# dumb-init is PID 1: it passes signals on to quire and reaps whatever is left to it. -P: no module is imported from /data.
ENTRYPOINT ["/opt/quire/bin/dumb-init", "--single-child", "--", "/opt/quire/bin/python", "-P", "-m", "quire_image"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/opt/quire/bin/python", "-P", "-m", "quire_image.health"]
