"""The Helm chart: what helm makes of many sets of values, what it refuses, and quire started as the chart starts it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from quire.cli import make_parser
from quire.config.resolving import resolve
from quire.config.settings import RUN_DEFAULTS
from quire.search.schema import MOST_BYTES
from quire.servers import ENDING_SECONDS, GRACE_SECONDS
from tests.asking import content_type, multipart, password_file, publish_wheel, serve, twine_form
from tests.bucket.ceph import s3_server
from tests.deploy import helm_rig as rig
from tests.deploy import systemd_rig
from tests.distributions import make_wheel, wheel_name
from tests.documents import block
from tests.serving import DEADLINE, Served, environment, free_port, run_quire

pytestmark = pytest.mark.deploy

DIGEST = f"sha256:{'0' * 64}"
EVERYTHING: dict[str, Any] = {
    "replicas": 4,
    "image": {"repository": "registry.example.org:5000/tools/quire", "digest": DIGEST, "pullSecrets": ["pull"]},
    "fullnameOverride": "packages",
    "workers": 4,
    "baseUrl": "/pypi/",
    "directories": ["/data/old"],
    "overwrite": True,
    "maxUploadSize": "500M",
    "fallbackUrl": "https://mirror.example/simple/",
    "trustedProxies": ["10.0.0.0/8", "::1"],
    "extraArgs": ["--cache-size", "64M"],
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "auth": {"existingSecret": "quire-htpasswd", "key": "users", "authenticate": ["download", "list", "update"]},
    "persistence": {"subPath": "packages", "size": "1Ti", "storageClassName": "efs", "annotations": {"a": "b"}},
    "service": {"type": "NodePort", "port": 8000, "annotations": {"a": "b"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "0"},
        "hosts": ["pypi.example.org", "*.pypi.example.org"],
        "tls": [{"hosts": ["pypi.example.org"], "secretName": "pypi-tls"}],
    },
    "resources": {"requests": {"cpu": 1, "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
    "autoscaling": {"enabled": True, "minReplicas": 3, "maxReplicas": 9, "targetCPUUtilizationPercentage": 60},
    "podDisruptionBudget": {"maxUnavailable": "50%"},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "metricsFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
        "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}],
    },
    "serviceMonitor": {
        "enabled": True,
        "interval": "15s",
        "authSecret": "scraper",
        "labels": {"release": "prometheus"},
    },
    "serviceAccount": {"name": "packages", "annotations": {"a": "b"}},
    "drainSeconds": 10,
    "terminationGracePeriodSeconds": 90,
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "tools"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "priorityClassName": "important",
    "extraVolumes": [{"name": "old", "persistentVolumeClaim": {"claimName": "old"}}],
    "extraVolumeMounts": [{"name": "old", "mountPath": "/data/old", "readOnly": True}],
}

SETS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "open": {
        "auth": {"disabled": True},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
    },
    "existing claim, read-only": {
        "persistence": {"existingClaim": "efs-packages"},
        "readOnly": True,
        "replicas": 6,
        "auth": {"authenticate": ["list"]},
    },
    "anonymous uploads": {"auth": {"authenticate": ["download", "list"], "anonymousUploads": True}},
    "one replica": {"persistence": {"accessModes": ["ReadWriteOncePod"]}, "replicas": 1, "drainSeconds": 0},
    "names like numbers": {
        "nameOverride": "1",
        "image": {"pullSecrets": ["0x1f"]},
        "auth": {"existingSecret": "12"},
        "persistence": {"existingClaim": "1000"},
        "ingress": {"enabled": True, "className": "10", "hosts": ["pypi.example.org"]},
        "serviceMonitor": {"enabled": True, "authSecret": "true"},
        "serviceAccount": {"create": False, "name": "null"},
        "backup": {
            "enabled": True,
            "existingClaim": "2026",
            "existingSecret": "on",
            "serviceAccount": {"name": "1.5"},
        },
        "priorityClassName": "7",
    },
    "an existing account": {"serviceAccount": {"create": False, "name": "packages"}, "nameOverride": "pypi"},
    "plain ingress": {"ingress": {"enabled": True, "hosts": ["pypi.example.org"]}, "auth": {"existingSecret": "users"}},
    "bucket": {
        "storage": {
            "kind": "bucket",
            "url": "s3://acme-packages/python",
            "endpoint": "https://rgw.example.org:8443",
            "region": "us-east-1",
            "existingSecret": "bucket-keys",
            "caSecret": "bucket-ca",
            "caKey": "tls.crt",
        },
        "directories": ["/data/old"],
        "workers": 3,
    },
    "bucket by a role": {
        "storage": {"kind": "bucket", "url": "gs://acme-packages/python"},
        "serviceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "quire@acme.iam.gserviceaccount.com"}},
        "persistence": {"accessModes": ["ReadWriteOncePod"]},
        "networkPolicy": {"egress": [{"ports": [{"port": 4318, "protocol": "TCP"}]}]},
    },
    "scaled": {"autoscaling": {"enabled": True}, "persistence": {"keep": False}},
    "backup to a volume": {
        "image": {"pullSecrets": ["pull"]},
        "persistence": {"subPath": "packages"},
        "backup": {"enabled": True, "existingClaim": "backups", "subPath": "python", "keep": 7},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "backup of a bucket": {
        "storage": {
            "kind": "bucket",
            "url": "s3://acme-packages/python",
            "endpoint": "https://rgw.example.org:8443",
            "existingSecret": "bucket-keys",
            "caSecret": "bucket-ca",
        },
        "backup": {
            "enabled": True,
            "schedule": "@daily",
            "url": "s3://acme-backup/python",
            "existingSecret": "backup-keys",
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "serviceAccount": {"annotations": {"a": "b"}},
        },
    },
    "backup by an account": {
        "readOnly": True,
        "backup": {
            "enabled": True,
            "schedule": "0 3 * * MON-FRI",
            "url": "gs://acme-backup/python",
            "serviceAccount": {"create": False, "name": "backups"},
        },
        "networkPolicy": {"enabled": False},
    },
}

every_helm = pytest.mark.parametrize("helm", sorted(rig.HELMS))
every_set = pytest.mark.parametrize("name", sorted(SETS))


@pytest.fixture
def defaults(tmp_path: Path) -> list[rig.Document]:
    """The chart rendered with its own values."""
    return rig.rendered("helm 4", rig.given(tmp_path, {}))


def _container(documents: list[rig.Document]) -> dict[str, Any]:
    (container,) = rig.one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def _of_backup(documents: list[rig.Document]) -> list[rig.Document]:
    """The documents about backups."""
    names = (document["metadata"]["labels"]["app.kubernetes.io/name"] for document in documents)
    return [each for each, name in zip(documents, names, strict=True) if name.endswith("-backup")]


def _of_server(documents: list[rig.Document]) -> list[rig.Document]:
    return [document for document in documents if document not in _of_backup(documents)]


def _pods(documents: list[rig.Document]) -> list[dict[str, Any]]:
    """Of the server, and of the backup if there is one."""
    jobs = (each["spec"]["jobTemplate"] for each in documents if each["kind"] == "CronJob")
    templates = (each["spec"]["template"] for each in [rig.one(documents, "Deployment"), *jobs])
    return [template["spec"] for template in templates]


def _backup_container(documents: list[rig.Document]) -> dict[str, Any]:
    (container,) = _pods(documents)[1]["containers"]
    found: dict[str, Any] = container
    return found


def _environ(documents: list[rig.Document]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in _container(documents)["env"]}


# -- every set of values ----------------------------------------------------------------------------------------------


@every_helm
@every_set
def test_lint(tmp_path: Path, helm: str, name: str) -> None:
    """helm finds nothing to say, not even a warning."""
    said = rig.helm(helm, "lint", "--strict", rig.CHART, "--values", rig.given(tmp_path, SETS[name]))
    assert said.code == 0, said.output
    assert "[WARNING]" not in said.output


@every_set
def test_kubernetes_takes_it(tmp_path: Path, name: str) -> None:
    """Every document fits the schema of every version, which knows all fields; both helms render the same."""
    values = rig.given(tmp_path, SETS[name])
    documents = rig.rendered("helm 4", values)
    assert rig.rendered("helm 3", values) == documents
    for document in documents:
        if document["kind"] != "ServiceMonitor":  # an operator's, not Kubernetes' own
            for version in rig.KUBERNETES:
                rig.validate(document, version)


@every_set
@pytest.mark.parametrize(("release", "namespace"), [("1e3", "2026"), ("true", "null")])
def test_names_are_strings(tmp_path: Path, name: str, release: str, namespace: str) -> None:
    """Also where YAML would read a number, a truth value or nothing in the name of a release or a namespace."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, SETS[name]), release=release, namespace=namespace)
    assert {document["metadata"]["namespace"] for document in documents} == {namespace}
    assert {document["metadata"]["labels"]["app.kubernetes.io/instance"] for document in documents} == {release}
    assert all(isinstance(document["metadata"]["name"], str) for document in documents)
    for document in documents:
        if document["kind"] != "ServiceMonitor":
            rig.validate(document, rig.KUBERNETES[-1])


def test_the_schemas_would_see_a_slip(defaults: list[rig.Document]) -> None:
    """A misspelled field and a value of the wrong kind do not pass."""
    deployment = rig.one(defaults, "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(AssertionError, match="readynessProbe"):
        rig.validate(deployment, rig.KUBERNETES[-1])
    service = rig.one(defaults, "Service")
    service["spec"]["ports"][0]["port"] = "http"
    with pytest.raises(AssertionError, match="spec/ports/0/port"):
        rig.validate(service, rig.KUBERNETES[-1])


@every_set
def test_restricted(tmp_path: Path, name: str) -> None:
    """The pods keep to the `restricted` Pod Security Standard, and have neither a token nor a writable root."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, SETS[name]))
    assert len(_pods(documents)) == 1 + ("backup" in SETS[name])
    for pod in _pods(documents):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {9898}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        allowed = {"persistentVolumeClaim", "emptyDir", "secret"}
        assert {kind for volume in pod["volumes"] for kind in set(volume) - {"name"}} <= allowed
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}


@every_set
def test_names_fit_together(tmp_path: Path, name: str) -> None:
    """Selectors find the pods, the Ingress the Service, the autoscaler the Deployment, pods their claim."""
    documents = _of_server(rig.rendered("helm 4", rig.given(tmp_path, SETS[name])))
    deployment = rig.one(documents, "Deployment")
    template = deployment["spec"]["template"]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    by_kind = {document["kind"]: document for document in documents}
    service = by_kind["Service"]
    assert service["spec"]["selector"] == selector
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for kind in ("PodDisruptionBudget", "ServiceMonitor"):
        if kind in by_kind:
            assert by_kind[kind]["spec"]["selector"]["matchLabels"] == selector
    if "NetworkPolicy" in by_kind:
        assert by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == selector
    if "HorizontalPodAutoscaler" in by_kind:
        target = by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
        assert "replicas" not in deployment["spec"]
    if "Ingress" in by_kind:
        for rule in by_kind["Ingress"]["spec"]["rules"]:
            (path,) = rule["http"]["paths"]
            backend = path["backend"]["service"]
            assert backend["name"] == service["metadata"]["name"]
            assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
    if "ServiceAccount" in by_kind:
        assert by_kind["ServiceAccount"]["metadata"]["name"] == template["spec"]["serviceAccountName"]
        assert by_kind["ServiceAccount"]["automountServiceAccountToken"] is False
    claims = [
        each["persistentVolumeClaim"]["claimName"] for each in template["spec"]["volumes"] if each["name"] == "packages"
    ]
    if "PersistentVolumeClaim" in by_kind:
        assert claims == [by_kind["PersistentVolumeClaim"]["metadata"]["name"]]
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    assert {mount["name"] for mount in template["spec"]["containers"][0]["volumeMounts"]} <= volumes


# -- single values ----------------------------------------------------------------------------------------------------


def test_defaults(defaults: list[rig.Document]) -> None:
    """The default: two pods on a volume that both can write, seen inside the cluster only."""
    assert rig.kinds(defaults) == {
        "Deployment",
        "Service",
        "ServiceAccount",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }  # fmt: skip - one line of names
    deployment = rig.one(defaults, "Deployment")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    claim = rig.one(defaults, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    policy = rig.one(defaults, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    assert policy["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    probes = {kind: _container(defaults)[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
    assert probes == {"liveness": "/health", "readiness": "/ready"}
    assert "QUIRE_PASSWORDS" not in _environ(defaults)


def test_the_prefix_is_everywhere(tmp_path: Path) -> None:
    """baseUrl moves the probes, the metrics and the Ingress along with quire."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, EVERYTHING))
    assert _environ(documents)["QUIRE_SERVER_BASE_URL"] == "/pypi"
    container = _container(documents)
    paths = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"/pypi/health", "/pypi/ready"}
    login = {key: {"name": "scraper", "key": key} for key in ("username", "password")}
    assert rig.one(documents, "ServiceMonitor")["spec"]["endpoints"] == [
        {
            "port": "http",
            "path": "/pypi/metrics",
            "interval": "15s",
            "relabelings": [{"targetLabel": "job", "replacement": "quire"}],
            "basicAuth": login,
        }
    ]
    rules = rig.one(documents, "Ingress")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ["pypi.example.org", "*.pypi.example.org"]
    assert {rule["http"]["paths"][0]["path"] for rule in rules} == {"/pypi"}


def test_an_existing_claim(tmp_path: Path) -> None:
    """It is used, and none is made; read-only is said to the mount and to quire."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, SETS["existing claim, read-only"]))
    assert "PersistentVolumeClaim" not in rig.kinds(documents)
    volumes = rig.one(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "packages", "persistentVolumeClaim": {"claimName": "efs-packages"}} in volumes
    (mount,) = (each for each in _container(documents)["volumeMounts"] if each["name"] == "packages")
    assert mount == {"name": "packages", "mountPath": "/data/packages", "readOnly": True}
    assert _environ(documents)["QUIRE_READ_ONLY"] == "true"


@pytest.mark.parametrize(
    ("persistence", "storage", "strategy"),
    [
        ({"accessModes": ["ReadWriteMany"]}, {}, "RollingUpdate"),
        ({"accessModes": ["ReadWriteOnce", "ReadWriteMany"]}, {}, "RollingUpdate"),
        ({"accessModes": ["ReadWriteOnce"]}, {}, "Recreate"),
        ({"accessModes": ["ReadWriteOncePod"]}, {}, "Recreate"),
        ({"accessModes": ["ReadWriteOnce"], "existingClaim": "packages"}, {}, "Recreate"),
        ({"accessModes": ["ReadWriteOnce"]}, {"kind": "bucket", "url": "s3://acme/python"}, "RollingUpdate"),
    ],
)
def test_the_old_pod_goes_first_where_two_nodes_cannot_mount(
    tmp_path: Path, persistence: dict[str, Any], storage: dict[str, Any], strategy: str
) -> None:
    """Else a new pod on another node would wait for the volume, and the old one for the new pod."""
    values = {"persistence": persistence, "storage": storage, "replicas": 1}
    documents = rig.rendered("helm 4", rig.given(tmp_path, values))
    assert rig.one(documents, "Deployment")["spec"]["strategy"]["type"] == strategy


def test_the_image(tmp_path: Path) -> None:
    """A digest comes before a tag; without both it is the chart's version of quire, which is this one."""
    from quire import __version__

    assert _container(rig.rendered("helm 4", rig.given(tmp_path, {})))["image"] == f"quire-index:{__version__}"
    tagged = rig.given(tmp_path, {"image": {"tag": "edge"}})
    assert _container(rig.rendered("helm 4", tagged))["image"] == "quire-index:edge"
    assert _container(rig.rendered("helm 4", rig.given(tmp_path, EVERYTHING)))["image"].endswith(f"quire@{DIGEST}")


def test_metrics_for_others(tmp_path: Path) -> None:
    """With `from`, only the named ones reach the port, and those of `metricsFrom` as well."""
    policy = rig.one(rig.rendered("helm 4", rig.given(tmp_path, EVERYTHING)), "NetworkPolicy")["spec"]
    named = EVERYTHING["networkPolicy"]
    assert [rule["from"] for rule in policy["ingress"]] == [named["from"], named["metricsFrom"]]
    assert policy["egress"] == named["egress"]


def test_the_values_of_the_guide(tmp_path: Path) -> None:
    """The values in docs/how-to/kubernetes.md are valid, and name the objects of the page's other commands."""
    path = rig.PROJECT / "docs" / "how-to" / "kubernetes.md"
    page = path.read_text()
    values, more = (yaml.safe_load(block(path, "yaml", mark)) for mark in ("values", "egress"))
    documents = rig.rendered("helm 3", rig.given(tmp_path, values | more))
    for document in documents:
        rig.validate(document, rig.KUBERNETES[-1])
    assert rig.one(documents, "NetworkPolicy")["spec"]["egress"] == more["networkPolicy"]["egress"]
    (tls,) = values["ingress"]["tls"]
    assert f"create secret tls {tls['secretName']} " in page
    name = rig.one(documents, "Deployment")["metadata"]["name"]
    assert f"deployment/{name} " in page
    assert _environ(documents)["QUIRE_PASSWORDS"].endswith("/htpasswd")
    assert "create secret generic quire-htpasswd --from-file=htpasswd" in page


# -- refusals ---------------------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"replcas": 3}, "replcas"),
    ({"auth": {"secret": "x"}}, "secret"),
    ({"replicas": "two"}, "replicas"),
    ({"replicas": -1}, "replicas"),
    ({"workers": 0}, "workers"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"baseUrl": "/py pi"}, "baseUrl"),
    ({"baseUrl": "/pypi\n- name: X"}, "baseUrl"),
    ({"directories": ["relative"]}, "directories"),
    ({"directories": ["/a:/b"]}, "directories"),
    ({"maxUploadSize": "much"}, "maxUploadSize"),
    ({"fallbackUrl": "mirror.example"}, "fallbackUrl"),
    ({"trustedProxies": ["ingress"]}, "trustedProxies"),
    ({"auth": {"authenticate": []}}, "authenticate"),
    ({"auth": {"authenticate": ["delete"]}}, "authenticate"),
    ({"auth": {"authenticate": "update"}}, "authenticate"),
    ({"auth": {"existingSecret": "Not A Name"}}, "existingSecret"),
    ({"auth": {"key": "../htpasswd"}}, "key"),
    ({"persistence": {"size": "large"}}, "size"),
    ({"persistence": {"accessModes": []}}, "accessModes"),
    ({"persistence": {"accessModes": ["ReadOnlyMany"]}}, "accessModes"),
    ({"persistence": {"subPath": "/etc"}}, "subPath"),
    ({"service": {"port": 0}}, "port"),
    ({"service": {"type": "ExternalName"}}, "type"),
    ({"ingress": {"enabled": "yes"}}, "enabled"),
    ({"ingress": {"hosts": ["https://pypi.example.org"]}}, "hosts"),
    ({"resources": {"limits": {"memory": "lots"}}}, "memory"),
    ({"autoscaling": {"targetCPUUtilizationPercentage": 0}}, "targetCPUUtilizationPercentage"),
    ({"podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable"),
    ({"podDisruptionBudget": {"maxUnavailable": "0%"}}, "maxUnavailable"),
    ({"serviceMonitor": {"interval": "often"}}, "interval"),
    ({"drainSeconds": -1}, "drainSeconds"),
    ({"metrics": "all"}, "metrics"),
    ({"logFormat": "xml"}, "logFormat"),
    ({"extraVolumes": [{}]}, "extraVolumes"),
    ({"auth": {"disabled": True, "existingSecret": "users"}}, "exclude each other"),
    ({"auth": {"authenticate": ["download", "list"]}}, "uploads would need no login"),
    ({"auth": {"anonymousUploads": True}}, "contradicts update"),
    ({"ingress": {"enabled": True}}, "needs at least one name"),
    ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "minReplicas is greater"),
    ({"persistence": {"accessModes": ["ReadWriteOnce"]}}, "Several replicas share one volume"),
    (
        {"persistence": {"accessModes": ["ReadWriteOnce"]}, "replicas": 1, "autoscaling": {"enabled": True}},
        "Several replicas",
    ),
    (
        {"persistence": {"accessModes": ["ReadWriteOnce"], "existingClaim": "packages"}},
        "Several replicas share one volume",
    ),
    ({"terminationGracePeriodSeconds": 5}, f"at least 40: drainSeconds and {GRACE_SECONDS + ENDING_SECONDS}"),
    ({"drainSeconds": 30, "terminationGracePeriodSeconds": 64}, "at least 65"),
    ({"storage": {"kind": "nfs"}}, "kind"),
    ({"storage": {"kind": "bucket", "url": "https://acme.example.org"}}, "url"),
    ({"storage": {"kind": "bucket", "url": "s3://key:secret@acme-packages/python"}}, "url"),
    ({"storage": {"kind": "bucket", "url": "s3://acme-packages/python", "endpoint": "rgw:8443"}}, "endpoint"),
    ({"storage": {"kind": "bucket"}}, "storage.url needs the bucket"),
    ({"storage": {"url": "s3://acme-packages/python"}}, "storage.url is for a bucket"),
    ({"storage": {"existingSecret": "keys"}}, "storage.existingSecret is for a bucket"),
    (
        {"storage": {"kind": "bucket", "url": "gs://acme-packages/python", "endpoint": "https://rgw.example.org"}},
        "storage.endpoint is for s3:// only",
    ),
    ({"backup": {"enabled": True}}, "needs one place"),
    ({"backup": {"enabled": True, "url": "s3://acme-backup/python", "existingClaim": "backups"}}, "needs one place"),
    ({"backup": {"enabled": True, "existingClaim": "index-quire"}}, "the claim of the packages"),
    (
        {
            "persistence": {"accessModes": ["ReadWriteOncePod"]},
            "replicas": 1,
            "backup": {"enabled": True, "existingClaim": "backups"},
        },
        "persistence.accessModes is ReadWriteOncePod",
    ),
    ({"backup": {"url": "acme-backup"}}, "url"),
    ({"backup": {"schedule": "daily"}}, "schedule"),
    ({"backup": {"schedule": "15 3 * *"}}, "schedule"),
    ({"backup": {"keep": 1}}, "keep"),
    *(
        (
            {
                "storage": {"kind": "bucket", "url": "s3://acme/python"},
                "backup": {"enabled": True, "url": f"s3://acme{prefix}"},
            },
            "a prefix of their own",
        )
        for prefix in ("/python", "/python/backups", "")
    ),
    ({"serviceMonitor": {"enabled": True}, "metrics": "off"}, "which are off"),
    ({"serviceMonitor": {"enabled": True}, "metrics": "authenticated"}, "serviceMonitor.authSecret"),
    ({"serviceMonitor": {"enabled": True}, "auth": {"authenticate": ["list", "update"]}}, "serviceMonitor.authSecret"),
]  # fmt: skip - a case in a line


@every_helm
@pytest.mark.parametrize(("values", "named"), WRONG, ids=[json.dumps(values)[:60] for values, _ in WRONG])
def test_wrong_values_are_refused(tmp_path: Path, helm: str, values: dict[str, Any], named: str) -> None:
    """helm says which value is wrong, and renders nothing."""
    assert named in rig.refusal(helm, rig.given(tmp_path, values))


# -- what people read -------------------------------------------------------------------------------------------------


def test_the_table_of_values_is_true() -> None:
    """README.md lists every value with its default; if not: python -m tests.deploy.helm_rig."""
    readme = (rig.CHART / "README.md").read_text()
    assert readme == rig.rewritten(readme), "run python -m tests.deploy.helm_rig"


def test_the_schema_describes_exactly_the_values() -> None:
    """values.yaml and values.schema.json have the same keys, and each has a meaning."""
    values = yaml.safe_load((rig.CHART / "values.yaml").read_text())
    schema = json.loads((rig.CHART / "values.schema.json").read_text())

    def compare(described: dict[str, Any], given: dict[str, Any], where: str) -> None:
        assert set(described["properties"]) - {"global"} == set(given), where
        assert described["additionalProperties"] is False, where
        for key, value in given.items():
            assert described["properties"][key]["description"].endswith("."), f"{where}{key}"
            if "properties" in described["properties"][key]:
                compare(described["properties"][key], value, f"{where}{key}.")

    compare(schema, values, "")


def test_notes(tmp_path: Path) -> None:
    """After an installation helm says where quire is, what is missing, and what to mind."""
    said = rig.notes(rig.given(tmp_path, {}))
    assert "http://index-quire.tools/simple/" in said
    assert "No user can update yet" in said
    assert "port-forward service/index-quire 8080:80" in said
    assert "not sent to the public index" in said
    everything = rig.notes(rig.given(tmp_path, EVERYTHING))
    assert "https://pypi.example.org/pypi/simple/" in everything
    assert "No user can" not in everything
    assert "public index" not in everything
    assert "in clear" not in everything
    assert "Requests need no login" in rig.notes(rig.given(tmp_path, SETS["open"]))
    assert "passwords cross the network in clear" in rig.notes(rig.given(tmp_path, SETS["plain ingress"]))
    for text in (said, everything):
        assert not re.search(r"\n{3,}|[ \t]\n", text), repr(text)


# -- a bucket ---------------------------------------------------------------------------------------------------------


def test_a_bucket_needs_no_volume(tmp_path: Path) -> None:
    """No claim; the command names the bucket, the environment its server, and the Secrets are where quire looks."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, SETS["bucket"]))
    assert "PersistentVolumeClaim" not in rig.kinds(documents)
    container = _container(documents)
    assert container["args"] == ["run", "s3://acme-packages/python", "/data/old"]
    assert container["envFrom"] == [{"secretRef": {"name": "bucket-keys"}}]
    environ = _environ(documents)
    assert "QUIRE_DIRECTORIES" not in environ
    assert environ["AWS_ENDPOINT_URL"] == "https://rgw.example.org:8443"
    assert environ["AWS_REGION"] == "us-east-1"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"tmp": "/tmp", "ca": "/etc/quire/ca"}
    assert environ["AWS_CA_BUNDLE"] == "/etc/quire/ca/tls.crt"
    volumes = {each["name"]: each for each in rig.one(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]}
    assert volumes.keys() == mounts.keys()
    assert volumes["ca"]["secret"]["items"] == [{"key": "tls.crt", "path": "tls.crt"}]
    flags = vars(make_parser()[0].parse_args(container["args"])) | {"passwords": None}
    assert resolve(flags, environ, RUN_DEFAULTS).directories == ("s3://acme-packages/python", "/data/old")


@pytest.mark.parametrize(("name", "spools"), [("defaults", 0), ("bucket", 3), ("bucket by a role", 2)])
def test_the_temporary_directory_has_room(tmp_path: Path, name: str, spools: int) -> None:
    """For the largest catalog of the search, for as much as all workers together may keep there of uploads to a bucket,
    and for something beside it: a pod that exceeds it is evicted."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, SETS[name]))
    volumes = rig.one(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]
    (room,) = (each["emptyDir"]["sizeLimit"] for each in volumes if each["name"] == "tmp")
    needed = MOST_BYTES + spools * resolve({}, {}).spool_size
    assert int(room.removesuffix("Mi")) * 1024**2 > needed


def test_a_role_is_all_that_a_bucket_may_need(tmp_path: Path) -> None:
    """With an annotation of the service account no Secret is named; several pods are right, whatever the claim would
    be; and helm says how to ask the bucket."""
    values = rig.given(tmp_path, SETS["bucket by a role"])
    documents = rig.rendered("helm 4", values)
    assert "envFrom" not in _container(documents)
    assert rig.one(documents, "Deployment")["spec"]["strategy"]["type"] == "RollingUpdate"
    account = rig.one(documents, "ServiceAccount")["metadata"]
    assert account["annotations"] == {"iam.gke.io/gcp-service-account": "quire@acme.iam.gserviceaccount.com"}
    assert "quire doctor gs://acme-packages/python" in rig.notes(values)


@pytest.mark.parametrize(
    ("endpoint", "ports"), [("", {443}), ("https://rgw.example.org:8443", {443, 8443}), ("http://minio", {443, 80})]
)
def test_pods_reach_the_bucket(tmp_path: Path, endpoint: str, ports: set[int]) -> None:
    """The policy lets them ask for names, for the bucket at its port, and for credentials at the node's addresses; what
    was added to it stays."""
    storage = {"kind": "bucket", "url": "s3://acme-packages/python", "endpoint": endpoint}
    extra = {"ports": [{"port": 4318, "protocol": "TCP"}]}
    values = rig.given(tmp_path, {"storage": storage, "networkPolicy": {"egress": [extra]}})
    egress = rig.one(rig.rendered("helm 4", values), "NetworkPolicy")["spec"]["egress"]
    everywhere = [{port["port"] for port in rule["ports"]} for rule in egress if "to" not in rule]
    assert everywhere == [{53}, ports, {4318}]
    (node,) = (rule for rule in egress if "to" in rule)
    assert all(peer["ipBlock"]["cidr"].startswith("169.254.") for peer in node["to"])


# -- backups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SETS if name.startswith("backup ")])
def test_backups_stand_apart(tmp_path: Path, name: str) -> None:
    """Neither the Service nor the budget selects their pods; a policy of their own does, and so is their account."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, SETS[name]))
    about = _of_backup(documents)
    job = rig.one(about, "CronJob")["spec"]
    labels = job["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    server = rig.one(documents, "Service")["spec"]["selector"]
    assert not server.items() <= labels.items()
    assert job["concurrencyPolicy"] == "Forbid"
    own, servers = (pod["serviceAccountName"] for pod in reversed(_pods(documents)))
    assert own != servers
    expected = {"CronJob"}
    if SETS[name]["backup"].get("serviceAccount", {}).get("create", True):
        expected.add("ServiceAccount")
        assert rig.one(about, "ServiceAccount")["metadata"]["name"] == own
    if SETS[name].get("networkPolicy", {}).get("enabled", True):
        expected.add("NetworkPolicy")
        policy = rig.one(about, "NetworkPolicy")["spec"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        assert policy["ingress"] == []
        goes_out = "storage" in SETS[name] or "url" in SETS[name]["backup"]
        assert bool(policy["egress"]) == goes_out
    assert rig.kinds(about) == expected


@pytest.mark.parametrize(
    ("mode", "replicas", "together"),
    [("ReadWriteMany", 1, False), ("ReadWriteOnce", 1, True), ("ReadWriteOnce", 0, False)],
)
def test_a_backup_runs_where_the_volume_is(tmp_path: Path, mode: str, replicas: int, together: bool) -> None:
    """A volume that one node mounts is read on that node: its pods go where a pod of the server is, if there is one."""
    values = SETS["backup to a volume"] | {"persistence": {"accessModes": [mode]}, "replicas": replicas}
    documents = rig.rendered("helm 4", rig.given(tmp_path, values))
    for document in documents:
        rig.validate(document, rig.KUBERNETES[0])
    affinity = _pods(documents)[1].get("affinity", {})
    assert bool(affinity) == together
    if together:
        (term,) = affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        selector = rig.one(documents, "Deployment")["spec"]["selector"]["matchLabels"]
        assert term["labelSelector"]["matchLabels"] == selector


@pytest.mark.parametrize(
    ("mode", "backups", "together"),
    [("ReadWriteOnce", True, True), ("ReadWriteOnce", False, False), ("ReadWriteMany", True, False)],
)
def test_an_update_during_a_backup_goes_where_the_volume_is(
    tmp_path: Path, mode: str, backups: bool, together: bool
) -> None:
    """The old pod has ended, so that of the backup alone shows the node of the volume: the new one prefers it, and all
    that the values ask for stays."""
    near = {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}}
    kind = "preferredDuringSchedulingIgnoredDuringExecution"
    others: list[rig.Document] = [{}, {"nodeAffinity": {}}, {"podAffinity": {kind: [near]}, "podAntiAffinity": {}}]
    for asked in others:
        values = SETS["backup to a volume"] | {"persistence": {"accessModes": [mode]}, "replicas": 1, "affinity": asked}
        values["backup"] = values["backup"] | {"enabled": backups}
        documents = rig.rendered("helm 4", rig.given(tmp_path, values))
        rig.validate(rig.one(documents, "Deployment"), rig.KUBERNETES[0])
        affinity = _pods(documents)[0].get("affinity", {})
        if together:
            term = affinity["podAffinity"][kind].pop()
            assert (term["weight"], term["podAffinityTerm"]["topologyKey"]) == (100, "kubernetes.io/hostname")
            selected = term["podAffinityTerm"]["labelSelector"]["matchLabels"]
            job = rig.one(documents, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
            assert selected.items() <= job.items()
            assert not selected.items() <= rig.one(documents, "Service")["spec"]["selector"].items()
        assert affinity == ({"podAffinity": {kind: []}} if together else {}) | asked


def test_a_backup_of_a_bucket(tmp_path: Path) -> None:
    """It has both places, the variables of the bucket, and keys of its own, which may write to the second one."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, SETS["backup of a bucket"]))
    container = _backup_container(documents)
    parsed = make_parser()[0].parse_args(container["args"])
    assert (parsed.target, parsed.directory, parsed.keep) == (
        "s3://acme-backup/python",
        ["s3://acme-packages/python"],
        30,
    )
    assert container["envFrom"] == [{"secretRef": {"name": "backup-keys"}}]
    environ = {each["name"]: each["value"] for each in container["env"]}
    assert environ == {
        "QUIRE_LOG_FORMAT": "json",
        "AWS_ENDPOINT_URL": "https://rgw.example.org:8443",
        "AWS_CA_BUNDLE": "/etc/quire/ca/ca.crt",
        "TZ": "UTC",
    }
    assert rig.one(documents, "CronJob")["spec"]["schedule"] == "@daily"


def test_a_backup_runs_as_rendered(tmp_path: Path) -> None:
    """With the arguments, variables, user, mounts and read-only root of the CronJob, it backs up what is published, and
    a second one keeps the first."""
    documents = rig.rendered("helm 4", rig.given(tmp_path, SETS["backup to a volume"]))
    container = _backup_container(documents)
    folders = {"packages": tmp_path / "packages", "backups": tmp_path / "backups"}
    for folder in folders.values():
        folder.mkdir()
    with serve(tmp_path, "-a", ".", "-P", ".") as site:
        publish_wheel(site, "demo", "1.0")
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounts) == {"packages", "backups", "tmp"}
    environ = {each["name"]: each["value"] for each in container["env"]} | {"PATH": "/opt/quire/bin:/usr/bin"}
    sandbox = systemd_rig.Sandbox(
        environ=environ, writable={mounts[name]: folder for name, folder in folders.items()}, readable={}
    )
    for _ in range(2):
        done = subprocess.run(
            sandbox.command("quire", *container["args"]),
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    listed = run_quire("backup", str(folders["backups"]), "--list", "--json", cwd=tmp_path)
    assert [each["files"] for each in json.loads(listed.stdout)["backups"]] == [2, 2], listed.stderr


# -- at work ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Served, list[rig.Document]]]:
    """quire as the rendered container starts it: its arguments, environment, user, mounts and read-only root."""
    values = {"baseUrl": "/pypi", "auth": {"existingSecret": "users"}, "workers": 1}
    documents = rig.rendered("helm 4", rig.given(tmp_path, values))
    container = _container(documents)
    port = free_port()
    folders = {name: tmp_path / name for name in ("packages", "auth")}
    for folder in folders.values():
        folder.mkdir()
    password_file(tmp_path, alice="s3cret").rename(folders["auth"] / "htpasswd")
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert set(mounts) == {"packages", "auth", "tmp"}
    assert mounts["auth"]["readOnly"] is True
    sandbox = systemd_rig.Sandbox(
        environ=_environ(documents) | {"PATH": "/opt/quire/bin:/usr/bin", "QUIRE_PORT": str(port)},
        writable={mounts["packages"]["mountPath"]: folders["packages"]},
        readable={mounts["auth"]["mountPath"]: folders["auth"]},
    )
    with systemd_rig.started(sandbox, ["quire", *container["args"]], port, tmp_path) as running:
        yield running, documents


def test_quire_runs_as_rendered(served: tuple[Served, list[rig.Document]]) -> None:
    """The liveness probe is answered under the prefix, an upload with a login is taken, and listed."""
    running, documents = served
    with httpx.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=DEADLINE, trust_env=False) as client:
        assert client.get(_container(documents)["livenessProbe"]["httpGet"]["path"]).status_code == 200
        wheel = make_wheel("demo", "1.0")
        body = multipart(twine_form(wheel_name("demo", "1.0"), wheel, name="demo", version="1.0"))
        headers = {"content-type": content_type()}
        assert client.post("/pypi/", content=body, headers=headers).status_code == 401
        assert client.post("/pypi/", content=body, headers=headers, auth=("alice", "s3cret")).status_code == 200
        assert wheel_name("demo", "1.0") in client.get("/pypi/simple/demo/").text
        assert client.get("/pypi/simple/nothing/").status_code == 404
    assert "Traceback" not in running.output()


def test_quire_serves_a_bucket_as_rendered(tmp_path: Path) -> None:
    """With the arguments and variables of the chart, and the keys of the Secret beside them, in front of a real S3
    server: what it takes is in the bucket, and it writes to nothing but its temporary directory."""
    with s3_server() as server:
        environ = server.environment
        storage = {
            "kind": "bucket",
            "url": f"{server.make_bucket()}/python",
            "endpoint": environ["AWS_ENDPOINT_URL"],
            "region": environ["AWS_REGION"],
            "existingSecret": "keys",
        }
        documents = rig.rendered(
            "helm 4", rig.given(tmp_path, {"storage": storage, "auth": {"disabled": True}, "workers": 1})
        )
        container = _container(documents)
        secret = {name: environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        port = free_port()
        given = _environ(documents) | secret | {"PATH": "/opt/quire/bin:/usr/bin", "QUIRE_PORT": str(port)}
        sandbox = systemd_rig.Sandbox(environ=given, writable={}, readable={})
        with (
            systemd_rig.started(sandbox, ["quire", *container["args"]], port, tmp_path) as running,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE, trust_env=False) as client,
        ):
            wheel = make_wheel("demo", "1.0")
            body = multipart(twine_form(wheel_name("demo", "1.0"), wheel, name="demo", version="1.0"))
            assert client.post("/", content=body, headers={"content-type": content_type()}).status_code == 200
            assert client.get(container["readinessProbe"]["httpGet"]["path"]).status_code == 200
            assert wheel_name("demo", "1.0") in client.get("/simple/demo/").text
        done = run_quire("ls", "-d", storage["url"], cwd=tmp_path, environ=environment(**environ))
        assert done.stdout.split()[:2] == ["demo", "1.0"], done.stderr
    assert "Traceback" not in running.output()
