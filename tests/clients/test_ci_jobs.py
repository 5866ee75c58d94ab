"""The jobs of the GitHub Actions and GitLab CI pages: their commands and variables, as they stand there."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml

from tests.clients.sandbox import Sandbox, ok
from tests.clients.servers import PASSWORD, USER, Servers
from tests.distributions import make_wheel, wheel_name
from tests.documents import DOCS, blocks

pytestmark = pytest.mark.clients

SECRETS = {"QUIRE_INDEX_USER": USER, "QUIRE_INDEX_PASSWORD": PASSWORD}
ADDRESS = "https://packages.example/"
"""The index's name in the pages."""
_SECRET = re.compile(r"\$\{\{ secrets\.(\w+) \}\}|\$(\w+)")


def _jobs(page: str) -> dict[str, list[tuple[str, dict[str, str]]]]:
    """The commands of each job of a page, with the variables that each of them has."""
    (text,) = blocks(DOCS / "how-to" / f"{page}.md", "yaml")
    document: dict[str, Any] = yaml.safe_load(text)
    if page == "gitlab-ci":
        return {name: [(line, _secrets(job["variables"])) for line in job["script"]] for name, job in document.items()}
    return {
        name: [(step["run"], _secrets(step.get("env", {}))) for step in job["steps"] if "run" in step]
        for name, job in document["jobs"].items()
    }


def _secrets(variables: dict[str, str]) -> dict[str, str]:
    return {name: _SECRET.sub(lambda m: SECRETS[m[1] or m[2]], value) for name, value in variables.items()}


@pytest.mark.parametrize("page", ["github-actions", "gitlab-ci"])
def test_the_jobs_of_a_page(locked: Servers, sandbox: Sandbox, page: str) -> None:
    """One publishes a project, also when it runs again; one installs from the index with `company` for its name."""
    needed = (wheel_name("guarded", "1.0"), make_wheel("guarded", "1.0"))
    locked.uvicorn.publish(needed, login=(USER, PASSWORD))
    jobs = _jobs(page)
    assert set(jobs) == {"publish", "test"}
    name = page.replace("-", "")
    project = sandbox.home / name
    (project / "src" / name).mkdir(parents=True)
    (project / "src" / name / "__init__.py").write_text("")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["uv_build"]\nbuild-backend = "uv_build"\n'  # which uv itself is: no download
        f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = ["guarded"]\n'
        f'[[tool.uv.index]]\nname = "company"\nurl = "{locked.gunicorn.simple}"\ndefault = true\n'
    )

    configured = {"UV_NO_CONFIG": "false"}  # the project's own table is configuration too

    def run(job: str) -> None:
        for line, variables in jobs[job]:
            program, *arguments = shlex.split(line.replace(ADDRESS, locked.uvicorn.url))
            assert program == "uv"
            ok(sandbox.uv(*arguments, cwd=project, **configured, **variables))

    run("publish")
    before = locked.index.project(name)
    assert before is not None
    assert len(before.files) == 2
    run("publish")
    assert locked.index.project(name) == before
    ((_, variables),) = jobs["test"]
    ok(sandbox.uv("lock", cwd=project, **configured, **variables))  # a lock is in the repository that a job checks out
    run("test")
    assert list(project.glob(".venv/lib/python*/site-packages/guarded-1.0.dist-info"))
