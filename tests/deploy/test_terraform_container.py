"""The container of the Terraform module: pypiserver's command, settings that quire has, few rights, an orderly end."""

from __future__ import annotations

import base64
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from quire.config.resolving import resolve
from quire.config.settings import OPTIONS
from quire.servers import chosen_server
from tests.asking import password_file, publish_wheel, serve
from tests.deploy.terraform_module import plan, rendered_container_definition
from tests.deploy.terraform_variations import VARIATIONS, only, settings_of

every_variation = pytest.mark.parametrize("variation", VARIATIONS)


def test_the_command_is_pypiservers() -> None:
    """With gunicorn chosen, the container runs, word for word, what pypiserver's did."""
    assert rendered_container_definition(server="gunicorn")["command"] == shlex.split(
        "run -p 8080 --server gunicorn --backend simple-dir --authenticate download,list,update -P /data/.htpasswd"
    )


def test_a_server_of_old_is_understood() -> None:
    """A configuration that names granian goes on to work: uvicorn serves."""
    assert chosen_server(settings_of(rendered_container_definition(server="granian"))) == "uvicorn"


@every_variation
def test_quire_understands_the_container(variation: str) -> None:
    """Command and environment make the settings that are meant; the volume is the home's `packages`, or the store is a
    bucket, and the home's `packages` is where uploads wait."""
    definition = rendered_container_definition(**VARIATIONS[variation])
    in_bucket = VARIATIONS[variation].get("storage") == "s3"
    settings = settings_of(
        definition | {"command": [*definition["command"], *([] if in_bucket else ["/data/packages"])]}
    )
    environ = {each["name"]: each["value"] for each in definition["environment"]}
    assert settings.root.startswith("s3://") == in_bucket
    assert environ.get("TMPDIR") == ("/data/packages" if in_bucket else None)
    assert settings.port == definition["portMappings"][0]["containerPort"]
    assert settings.authenticate == ("download", "list", "update")
    assert settings.trusted_proxies == ("10.0.0.0/24", "10.0.1.0/24")
    assert settings.trusted_headers == ("x-forwarded-for", "x-forwarded-proto")  # those that the load balancer sets
    assert settings.verbosity >= 1
    assert (settings.fallback_url is None) == VARIATIONS[variation].get("disable_fallback", False)
    assert definition["mountPoints"] == [
        {"sourceVolume": "scratch" if in_bucket else "packages", "containerPath": "/data/packages", "readOnly": False}
    ]


@every_variation
def test_no_setting_is_misspelt(variation: str) -> None:
    """Each QUIRE_ variable of the container is a setting of quire or something that its image takes."""
    known = {f"QUIRE_{option.name.upper()}" for option in OPTIONS} | {"QUIRE_HTPASSWD"}
    definition = rendered_container_definition(**VARIATIONS[variation])
    names = {each["name"] for each in definition["environment"] + definition["secrets"]}
    assert {name for name in names if name.startswith("QUIRE_")} <= known


@every_variation
def test_the_container_may_do_little(variation: str) -> None:
    """Not root, no capability, nothing to write on but the volume and a little memory."""
    definition = rendered_container_definition(**VARIATIONS[variation])
    assert definition["user"] == "9898:9898"
    assert definition["readonlyRootFilesystem"] is True
    assert definition["linuxParameters"]["capabilities"] == {"add": [], "drop": ["ALL"]}
    (memory,) = definition["linuxParameters"]["tmpfs"]
    assert {"noexec", "nosuid", "nodev"} <= set(memory["mountOptions"])
    assert memory["size"] >= 128  # MiB: with a volume the catalog of the search is in it
    assert "privileged" not in definition


def test_your_variables_are_stronger() -> None:
    """environment_variables can change what the module sets."""
    definition = rendered_container_definition(environment_variables={"QUIRE_VERBOSE": "2"})
    assert settings_of(definition).verbosity == 2


# -- rolling ----------------------------------------------------------------------------------------------------------


def test_a_deployment_loses_nothing() -> None:
    """New tasks first, back if they fail, no new requests to a task that is to stop, time for what is under way."""
    made = plan()
    (service,) = made.resources("aws_ecs_service").values()
    assert service.arguments["deployment_minimum_healthy_percent"] == 100
    assert service.arguments["deployment_maximum_percent"] >= 200
    (breaker,) = service.of("deployment_circuit_breaker")
    assert breaker.arguments == {"enable": True, "rollback": True}
    assert rendered_container_definition()["stopTimeout"] == 120
    assert only(made.resources("aws_lb_target_group"))["deregistration_delay"] >= 120


@pytest.mark.parametrize("inputs", [{}, {"server": "gunicorn"}, {"idle_timeout": 4000}])
def test_the_load_balancer_hangs_up_first(inputs: dict[str, Any]) -> None:
    """It closes idle connections before quire does, whatever it is set to, so none is closed with a request on its way:
    the container is told how long to keep them, in a variable that quire reads."""
    idle = only(plan(inputs).resources("aws_lb"))["idle_timeout"]
    environ = {each["name"]: each["value"] for each in rendered_container_definition(**inputs)["environment"]}
    assert resolve({}, environ).keep_alive_seconds > idle


# -- metrics ----------------------------------------------------------------------------------------------------------


def matches(pattern: str, line: dict[str, Any]) -> bool:
    """Whether a JSON filter pattern of CloudWatch Logs takes a line; the operators that the module uses."""
    signs = {"=": "==", "&&": "and", "||": "or"}
    words = re.findall(r'\$\.\w+|"[^"]*"|\d+|!=|=|&&|\|\||[()]', pattern.strip("{} "))
    assert "".join(words) == re.sub(r"\s", "", pattern.strip("{} "))
    code = " ".join(f"line.get({word[2:]!r})" if word.startswith("$") else signs.get(word, word) for word in words)
    return bool(eval(code, {"line": line}))  # of our own pattern, all of whose words are known


def test_metrics_are_made_from_what_quire_writes(tmp_path: Path) -> None:
    """The filters count the lines that a server with the container's environment writes: by what happened."""
    environ = {each["name"]: each["value"] for each in rendered_container_definition()["environment"]}
    environ["QUIRE_DRAIN_SECONDS"] = "0"  # no load balancer to wait for
    with serve(tmp_path, "-a", "update", "-P", password_file(tmp_path, alice="s3cret"), **environ) as site:
        publish_wheel(site, "acme-tools", authorization=f"Basic {base64.b64encode(b'alice:s3cret').decode()}")
        assert site.client.post("/", data={":action": "file_upload"}).status_code == 401
        assert site.get("/simple/acme-tools/").status_code == 200
        assert site.get("/health").status_code == 200
    output = site.served.output()  # all of it: the server has ended
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request"]
    assert len(requests) >= 4
    filters = plan().resources("aws_cloudwatch_log_metric_filter")
    counts = {
        each.arguments["name"]: sum(matches(each.arguments["pattern"], line) for line in lines)
        for each in filters.values()
    }
    assert counts["quire_requests_total"] == counts["quire_requests_by_status"] == len(requests)
    assert counts["quire_request_milliseconds"] == sum(line["route"] not in {"health", "ready"} for line in requests)
    assert counts["quire_uploads_total"] == 1
    assert counts["quire_store_errors_total"] == 0
    assert matches(filters['requests["quire_store_errors_total"]'].arguments["pattern"], requests[0] | {"status": 507})
    for each in filters.values():
        (made,) = each.of("metric_transformation")
        for field in [*made.arguments["dimensions"].values(), made.arguments["value"]]:
            assert not field.startswith("$.") or all(field[2:] in line for line in requests)
