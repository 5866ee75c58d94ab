"""The Terraform module: rights, secrets, and existing resources."""

from __future__ import annotations

import re

import bcrypt

from quire.access.passwords import parse_users, verify_password
from tests.deploy.terraform_module import plan, rendered_container_definition
from tests.deploy.terraform_syntax import references
from tests.deploy.terraform_variations import SECRET, VARIATIONS, only, statements


def test_the_tasks_may_use_their_volume_and_nothing_else() -> None:
    """The task role mounts and writes, through the access point; no root, no other action, no other resource."""
    (statement,) = statements(plan(), "task").values()
    assert statement.arguments["actions"] == ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    (resource,) = statement.arguments["resources"]
    assert "aws_efs_file_system.volume[0].id" in resource
    (condition,) = statement.of("condition")
    assert condition.arguments["variable"] == "elasticfilesystem:AccessPointArn"


def test_starting_a_task_takes_few_rights() -> None:
    """The execution role: its log group, its secret by its key, its image. `*` only where AWS takes nothing else."""
    found = statements(plan(), "execution")
    assert {name: each.arguments["actions"] for name, each in found.items()} == {
        "Log": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Htpasswd": ["secretsmanager:GetSecretValue"],
        "HtpasswdKey": ["kms:Decrypt"],
        "Image": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        "Registry": ["ecr:GetAuthorizationToken"],
    }
    assert found["Image"].arguments["resources"] == ["arn:aws:ecr:eu-central-1:123456789012:repository/quire"]
    assert [name for name, each in found.items() if "*" in each.arguments["resources"]] == ["Registry"]
    assert "Image" not in statements(plan(VARIATIONS["everything"]), "execution")


def test_the_volume_is_encrypted_and_closed() -> None:
    """At rest, in transit, for this uid only; its policy lets in the tasks' role by the access point, and TLS only."""
    made = plan()
    volume = only(made.resources("aws_efs_file_system"))
    assert volume["encrypted"] is True
    (point,) = made.resources("aws_efs_access_point").values()
    assert point.of("posix_user")[0].arguments == {"uid": 9898, "gid": 9898}
    assert point.of("root_directory")[0].of("creation_info")[0].arguments == {
        "owner_uid": 9898,
        "owner_gid": 9898,
        "permissions": "0755",
    }
    (task,) = made.resources("aws_ecs_task_definition").values()
    (configuration,) = task.of("volume")[0].of("efs_volume_configuration")
    assert configuration.arguments["transit_encryption"] == "ENABLED"
    assert configuration.of("authorization_config")[0].arguments["iam"] == "ENABLED"
    found = statements(made, "efs")
    assert found["Encrypted"].arguments["effect"] == "Deny"
    assert found["Tasks"].arguments["actions"] == ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    assert len(made.resources("aws_efs_mount_target")) == 2


def test_only_the_load_balancer_reaches_the_tasks() -> None:
    """The tasks' group lets in the load balancer's group and no address; the volume's group lets in the tasks'."""
    made = plan()
    rules = made.resources("aws_vpc_security_group_ingress_rule")
    by_address = {name.split("[")[0] for name, rule in rules.items() if "cidr_ipv4" in rule.arguments}
    assert by_address == {"http", "https"}
    assert str(rules["service"].arguments["referenced_security_group_id"]) == "(aws_security_group.load_balancer.id)"
    assert str(rules["efs_service[0]"].arguments["referenced_security_group_id"]) == "(aws_security_group.service.id)"
    (service,) = made.resources("aws_ecs_service").values()
    assert service.of("network_configuration")[0].arguments["assign_public_ip"] is False


def test_the_packages_cannot_be_destroyed() -> None:
    """Terraform refuses a plan that would delete the volume, and does not replace it for what cannot be changed."""
    (block,) = (each for each in plan().files.of("resource") if each.labels[0] == "aws_efs_file_system")
    (lifecycle,) = block.of("lifecycle")
    assert "true" in "".join(map(str, lifecycle.attributes["prevent_destroy"].scan_values(lambda _: True)))
    ignored = {str(each) for each in references(lifecycle.attributes["ignore_changes"])}
    assert ignored == {"creation_token", "encrypted", "kms_key_id", "performance_mode"}


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_gets_into_the_state() -> None:
    """Ephemeral values go into write-only arguments and nowhere else; secrets are written no other way."""
    for block in plan().files.blocks:
        for inner in block.within():
            for name, node in inner.attributes.items():
                ephemeral = any(reference.root == "ephemeral" for reference in references(node))
                assert not ephemeral or name.endswith("_wo"), f"{inner.where}: {name}"
                assert name not in {"secret_string", "secret_binary"}, inner.where
                assert "random_password" not in "".join(inner.labels) or block.kind == "ephemeral", inner.where


def test_the_password_is_read_only_on_request() -> None:
    """Without password_in_state no data source reads the secret, and the output is null; with it, it has it."""
    made = plan()
    assert made.output("pypi_password") is None
    assert made.output("pypi_username") == "pypi"
    assert not [each for each in made.instances() if each.kind == "data" and "secretsmanager" in each.type]
    found = {"data.aws_secretsmanager_secret_version.user[0].secret_string": SECRET}
    asked = plan({"password_in_state": True}, found)
    assert (asked.output("pypi_username"), asked.output("pypi_password")) == ("alice", "s3cret")
    for name in ("pypi_username", "pypi_password"):
        assert "sensitive" in made.files.named("output")[name].attributes


def test_the_tasks_get_a_hash() -> None:
    """The one secret of the container is the htpasswd line of what the other secret holds."""
    found = {"ephemeral.aws_secretsmanager_secret_version.user.secret_string": SECRET}
    written = plan(found=found).resources("aws_secretsmanager_secret_version")["htpasswd"].arguments["secret_string_wo"]
    assert re.fullmatch(r"alice:\$2a\$10\$.{53}\n", written)
    (secret,) = rendered_container_definition()["secrets"]
    assert secret["name"] == "QUIRE_HTPASSWD"
    assert "aws_secretsmanager_secret.htpasswd.arn" in secret["valueFrom"]


def test_quire_reads_terraforms_hashes() -> None:
    """Terraform's bcrypt() writes `$2a$` with a cost of 10; a password file with such a line lets the user in."""
    line = f"alice:{bcrypt.hashpw(b's3cret', bcrypt.gensalt(10, prefix=b'2a')).decode()}\n"
    stored = parse_users(line.encode(), "htpasswd").hashes["alice"]
    assert verify_password("s3cret", stored)
    assert not verify_password("secret", stored)


def test_a_new_password_is_a_new_task_definition() -> None:
    """The task names the version of its secret, which is written again when password_version changes."""
    (secret,) = rendered_container_definition()["secrets"]
    assert "aws_secretsmanager_secret_version.htpasswd.version_id" in secret["valueFrom"]
    for number in (1, 2):
        versions = plan({"password_version": number}).resources("aws_secretsmanager_secret_version")
        assert {each.arguments["secret_string_wo_version"] for each in versions.values()} == {number}


def test_readers_can_read() -> None:
    """A reader may get the secret and use its key, through Secrets Manager only; without readers there is no policy."""
    made = plan(VARIATIONS["everything"] | {"kms_key_arn": None})
    assert statements(made, "secret_readers")["Readers"].of("principals")[0].arguments["identifiers"] == [
        "arn:aws:iam::123456789012:role/ci"
    ]
    (condition,) = statements(made, "key")["SecretReaders"].of("condition")
    assert condition.arguments["values"] == ["secretsmanager.eu-central-1.amazonaws.com"]
    assert plan().resources("aws_secretsmanager_secret_policy") == {}


# -- switching --------------------------------------------------------------------------------------------------------


def test_an_existing_volume_stays_its_owners() -> None:
    """On an existing file system only an access point is made."""
    made = plan(VARIATIONS["existing-volume"])
    for type_name in ("file_system", "mount_target", "file_system_policy"):
        assert made.resources(f"aws_efs_{type_name}") == {}
    assert "efs[0]" not in made.resources("aws_security_group")
    (point,) = made.resources("aws_efs_access_point").values()
    assert point.arguments["file_system_id"] == "fs-0123456789abcdef0"
    assert point.of("root_directory")[0].arguments["path"] == "/"
    assert point.of("root_directory")[0].of("creation_info") == []
    assert made.output("efs_file_system_id") == "fs-0123456789abcdef0"


def test_tasks_reach_the_mount_targets() -> None:
    """Those of a new volume are in the subnets of the tasks, those of an existing one anywhere in the VPC."""
    for variation, networks in (
        ("as-it-comes", {"10.0.10.0/24", "10.0.11.0/24"}),
        ("existing-volume", {"10.0.0.0/16", "10.1.0.0/16"}),
    ):
        rules = plan(VARIATIONS[variation]).resources("aws_vpc_security_group_egress_rule").values()
        nfs = [rule.arguments for rule in rules if rule.arguments["from_port"] == 2049]
        assert {rule["cidr_ipv4"] for rule in nfs} == networks


def test_names_move_on_request() -> None:
    """Without create_dns_records there is a certificate for the names, and they lead where they led."""
    before, after = (plan({"create_dns_records": wanted}).resources("aws_route53_record") for wanted in (False, True))
    assert before.keys() == {'certificate["pypiserver"]'}
    assert after.keys() - before.keys() == {'service["pypiserver"]'}
    assert after['service["pypiserver"]'].arguments["name"] == "pypiserver.example.com"
    assert all(record.arguments["allow_overwrite"] is True for record in after.values())


def test_an_existing_secret_is_kept() -> None:
    """No password is generated, and the outputs name the secret that was given."""
    inputs = VARIATIONS["existing-volume"]
    made = plan(inputs)
    assert made.output("pypi_user_secret_arn") == inputs["existing_user_secret_arn"]
    assert made.output("pypi_username") is None
    assert not [each for each in made.instances() if each.type == "aws_secretsmanager_random_password"]
    assert made.resources("aws_secretsmanager_secret_version").keys() == {"htpasswd"}


def test_inputs_without_effect_are_named() -> None:
    """An input that only EC2 instances could use is accepted, and a warning names it."""
    made = plan({"ssh_key_name": "me", "internet_gateway_id": "igw-1"})
    assert list(made.refusals()) == []
    (warning,) = made.warnings()
    assert "internet_gateway_id, ssh_key_name" in warning
