"""Attestations are verified with real cryptography, by the keys of an instance that the test makes; each fault has its
sentence."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pypi_attestations import Provenance

from quire.access.ci_identities import CiIdentity
from quire.attestations.verification import AttestationVerifier, is_installed, make_verifier
from quire.domain.errors import ConfigurationError, InvalidRequest
from tests.attestations.instance import CLAIMS, GITHUB, JOB, PUBLISH, SLSA, Instance

NAME, SHA256 = "acme_tools-1.0-py3-none-any.whl", "ab" * 32
WORKFLOW = "https://github.com/acme/tools/.github/workflows/release.yml"


@pytest.fixture(scope="module")
def instance() -> Instance:
    return Instance()


@pytest.fixture(scope="module")
def verifier(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> AttestationVerifier:
    path = tmp_path_factory.mktemp("root") / "trusted_root.json"
    path.write_bytes(instance.trust_root())
    return AttestationVerifier(str(path))


def verify(verifier: AttestationVerifier, sent: Any, identity: CiIdentity | None = JOB) -> Any:
    """The provenance object. `sent`: the form field, or what it is the JSON of."""
    field = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return json.loads(verifier.verify(field, NAME, SHA256, identity))


def refusal(verifier: AttestationVerifier, sent: Any, identity: CiIdentity | None = JOB) -> str:
    with pytest.raises(InvalidRequest) as refused:
        verify(verifier, sent, identity)
    return str(refused.value)


def test_a_valid_attestation_becomes_the_provenance(instance: Instance, verifier: AttestationVerifier) -> None:
    """One of each type; with the publisher, as PyPI's own models read it, and with nothing that was not verified."""
    sent = [instance.attestation(NAME, SHA256, predicate=each) for each in (PUBLISH, SLSA)]
    sent[0]["note"] = "not signed"
    provenance = verify(verifier, sent)
    bundle = Provenance.model_validate(provenance).attestation_bundles[0]
    assert [each.statement["predicateType"] for each in bundle.attestations] == [PUBLISH, SLSA]
    assert provenance["attestation_bundles"][0]["publisher"] == {
        "kind": "GitHub",
        "repository": "acme/tools",
        "workflow": "release.yml",
        "environment": "pypi",
        "claims": None,
    }
    assert "not signed" not in json.dumps(provenance)
    assert json.loads(verifier.verify(json.dumps(bundle_of(provenance)).encode(), NAME, SHA256, JOB)) == provenance


def test_a_log_entry_with_more_in_it_is_refused(instance: Instance, verifier: AttestationVerifier) -> None:
    """It would be kept with the rest."""
    attestation = instance.attestation(NAME, SHA256)
    _entry(attestation)["note"] = "not signed"
    assert "invalid transparency log entry" in refusal(verifier, [attestation])


def bundle_of(provenance: Any) -> list[Any]:
    """The attestations of a provenance object: they can be verified again."""
    found: list[Any] = provenance["attestation_bundles"][0]["attestations"]
    return found


def _tampered(attestation: dict[str, Any]) -> None:
    signature = bytearray(b64decode(attestation["envelope"]["signature"]))
    signature[-1] ^= 1
    attestation["envelope"]["signature"] = b64encode(signature).decode()


def _other_statement(attestation: dict[str, Any]) -> None:
    statement = json.loads(b64decode(attestation["envelope"]["statement"])) | {"predicate": {"builder": "another"}}
    attestation["envelope"]["statement"] = b64encode(json.dumps(statement).encode()).decode()


def _entry(attestation: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = attestation["verification_material"]["transparency_entries"][0]
    return entry


def _later(attestation: dict[str, Any]) -> None:
    _entry(attestation)["integratedTime"] = str(int(_entry(attestation)["integratedTime"]) + 60)


def _other_root(attestation: dict[str, Any]) -> None:
    _entry(attestation)["inclusionProof"]["hashes"] = [b64encode(b"x" * 32).decode()]


def _without_promise(attestation: dict[str, Any]) -> None:
    del _entry(attestation)["inclusionPromise"]


def _without_proof(attestation: dict[str, Any]) -> None:
    del _entry(attestation)["inclusionProof"]


def _garbage(attestation: dict[str, Any]) -> None:
    attestation["verification_material"]["certificate"] = b64encode(b"no certificate").decode()


def _far_future(attestation: dict[str, Any]) -> None:
    _entry(attestation)["integratedTime"] = str(2**62)


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (_tampered, "ignature"),
        (_other_statement, "ignature"),
        (_later, "promise"),
        (_other_root, "root hash"),
        (_without_promise, "time"),
        (_without_proof, "log entry"),
        (_garbage, "certificate"),
        (_far_future, ""),
    ],
)
def test_what_was_changed_after_signing_is_refused(
    instance: Instance, verifier: AttestationVerifier, break_it: Callable[[dict[str, Any]], None], words: str
) -> None:
    """Signature, statement, and each part of the log's entry. The sentence names the file and what to do."""
    attestation = instance.attestation(NAME, SHA256)
    break_it(attestation)
    sentence = refusal(verifier, [attestation])
    assert sentence.startswith(f"An attestation of {NAME} is not valid (")
    assert words in sentence
    assert sentence.endswith("attest the file again, or upload it without attestations.")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"logged_after": timedelta(minutes=11)}, "not valid at validation time"),
        ({"logged_after": timedelta(minutes=-1)}, "not valid at validation time"),
        ({"log": ec.generate_private_key(ec.SECP256R1())}, "invalid log entry"),
        ({"certificate_log": ec.generate_private_key(ec.SECP256R1())}, "SCT"),
    ],
    ids=["expired", "not yet valid", "another log", "another certificate log"],
)
def test_what_was_signed_otherwise_is_refused(
    instance: Instance, verifier: AttestationVerifier, options: Any, words: str
) -> None:
    """By a certificate that was not valid when the log signed, or in logs that the trust root does not have."""
    assert words in refusal(verifier, [instance.attestation(NAME, SHA256, **options)])


def test_another_instance_is_refused_until_its_root_is_trusted(
    instance: Instance, verifier: AttestationVerifier, tmp_path: Path
) -> None:
    """A file may have the roots of several instances, one a line; the public instance's root is the default."""
    foreign = Instance()
    attestation = foreign.attestation(NAME, SHA256)
    assert "certificate chain" in refusal(verifier, [attestation])
    both = tmp_path / "roots.jsonl"
    both.write_bytes(instance.trust_root() + b"\n" + foreign.trust_root() + b"\n")
    trusting = AttestationVerifier(str(both))
    assert bundle_of(verify(trusting, [attestation]))
    assert bundle_of(verify(trusting, [instance.attestation(NAME, SHA256)]))
    stranger = CLAIMS | {8: "https://ci.example"}
    assert "another identity" in refusal(trusting, [instance.attestation(NAME, SHA256, claims=stranger)])
    assert "certificate chain" in refusal(AttestationVerifier(), [attestation])


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({8: "https://ci.example"}, f"is of the issuer https://ci.example, not of {GITHUB}"),
        ({12: "https://github.com/evil/tools"}, "is for the repository https://github.com/evil/tools"),
        ({15: "99"}, "is for another repository of the same name (id 99, not 1234)"),
        ({18: f"{WORKFLOW}.evil@refs/tags/v1"}, "is for the workflow"),
        ({18: f"{WORKFLOW}@refs/heads/other"}, "is for the workflow"),
        ({20: "pull_request_target"}, "is for a job that a pull request started"),
    ],
)
def test_another_identity_is_refused(
    instance: Instance, verifier: AttestationVerifier, claims: dict[int, str], words: str
) -> None:
    """Issuer, repository by name and id, workflow: all must be those of the publisher that uploads."""
    sentence = refusal(verifier, [instance.attestation(NAME, SHA256, claims=CLAIMS | claims)])
    assert sentence.startswith(f"An attestation of {NAME} is signed by another identity than the publisher")
    assert words in sentence


@pytest.mark.parametrize(
    ("identity", "claims", "emails", "publisher"),
    [
        (
            CiIdentity(
                id="p",
                kind="GitHub",
                issuer="https://ghe.acme.dev/_services/token",
                claims={**JOB.claims, "environment": "x"},
            ),
            {
                8: "https://ghe.acme.dev/_services/token",
                12: "https://ghe.acme.dev/acme/tools",
                18: "https://ghe.acme.dev/acme/tools/.github/workflows/release.yml@refs/tags/v1",
            },
            (),
            {"kind": "GitHub", "issuer": "https://ghe.acme.dev/_services/token", "environment": "x"},
        ),
        (
            CiIdentity(
                id="p",
                kind="GitLab",
                issuer="https://gitlab.com",
                claims={
                    "project_path": "acme/sub/tools",
                    "project_id": "1234",
                    "ci_config_ref_uri": "gitlab.com/acme/sub/tools//.gitlab-ci.yml@refs/heads/main",
                },
            ),
            {
                8: "https://gitlab.com",
                12: "https://gitlab.com/acme/sub/tools",
                18: "https://gitlab.com/acme/sub/tools//.gitlab-ci.yml@refs/tags/v1",
            },
            (),
            {"kind": "GitLab", "repository": "acme/sub/tools", "workflow_filepath": ".gitlab-ci.yml"},
        ),
        (
            CiIdentity(
                id="p", kind="Google", issuer="https://accounts.google.com", claims={"email": "ci@acme.iam.example"}
            ),
            {8: "https://accounts.google.com"},
            ("ci@acme.iam.example",),
            {"kind": "Google", "email": "ci@acme.iam.example"},
        ),
        (
            CiIdentity(
                id="p",
                kind="CircleCI",
                issuer="https://oidc.circleci.com/org/33",
                claims={"oidc.circleci.com/project-id": "11", "oidc.circleci.com/pipeline-definition-id": "22"},
            ),
            {
                8: "https://oidc.circleci.com",
                9: "https://circleci.com/api/v2/projects/11/pipeline-definitions/22",
            },
            (),
            {"kind": "CircleCI", "project_id": "11", "pipeline_definition_id": "22"},
        ),
    ],
    ids=["GitHub Enterprise Server", "GitLab", "Google", "CircleCI"],
)
def test_publishers_of_other_platforms(
    instance: Instance,
    verifier: AttestationVerifier,
    identity: CiIdentity,
    claims: dict[int, str],
    emails: tuple[str, ...],
    publisher: dict[str, str],
) -> None:
    """Each is compared by its own claims, and an attestation of the job on GitHub is none of theirs."""
    valid = instance.attestation(NAME, SHA256, claims=CLAIMS | claims, emails=emails)
    made = verify(verifier, [valid], identity)["attestation_bundles"][0]["publisher"]
    assert publisher.items() <= made.items()
    assert "another identity" in refusal(verifier, [instance.attestation(NAME, SHA256)], identity)
    assert "another identity" in refusal(verifier, [valid])
    bare = msgspec.structs.replace(identity, claims={})
    assert "lacks the claims" in refusal(verifier, [valid], bare)


@pytest.mark.parametrize(
    "emails",
    [(), ("evil@acme.iam.example",), ("ci@acme.iam.example", "evil@acme.iam.example"), ("CI@acme.iam.example",)],
)
def test_a_certificate_of_another_account_is_refused(
    instance: Instance, verifier: AttestationVerifier, emails: tuple[str, ...]
) -> None:
    """Of none, of another, of several, of one that is spelt otherwise."""
    google = "https://accounts.google.com"
    identity = CiIdentity(id="p", kind="Google", issuer=google, claims={"email": "ci@acme.iam.example"})
    attestation = instance.attestation(NAME, SHA256, claims={8: google}, emails=emails)
    assert "not of ci@acme.iam.example" in refusal(verifier, [attestation], identity)


def test_uploads_without_such_a_publisher_are_refused(instance: Instance, verifier: AttestationVerifier) -> None:
    """There is nothing that the signature could be compared with."""
    valid = [instance.attestation(NAME, SHA256)]
    assert "upload by trusted publishing, or without attestations" in refusal(verifier, valid, None)
    other = CiIdentity(id="p", kind="Forgejo", issuer="https://codeberg.example", claims={})
    assert "cannot verify attestations of Forgejo publishers" in refusal(verifier, valid, other)


def _statement(**changes: Any) -> bytes:
    subject = [{"name": NAME, "digest": {"sha256": SHA256}}]
    whole = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": PUBLISH}
    return json.dumps(whole | changes).encode()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (_statement(subject=[{"name": NAME, "digest": {"sha256": "cd" * 32}}]), "attest the file that is uploaded"),
        (_statement(subject=[{"name": NAME, "digest": {"sha512": SHA256}}]), "attest the file that is uploaded"),
        (_statement(subject=[{"name": "acme-tools-1.0.tar.gz", "digest": {"sha256": SHA256}}]), "not of acme_tools"),
        (_statement(subject=[{"name": NAME, "digest": {"sha256": SHA256}}] * 2), "exactly one subject"),
        (_statement(subject=[]), "exactly one subject"),
        (_statement(subject="x"), "exactly one subject"),
        (_statement(predicateType="https://example.org/any"), "a predicate of the type 'https://example.org/any'"),
        (_statement(_type="https://in-toto.io/Statement/v0.1"), "no in-toto statement"),
        (_statement()[:-1] + b', "subject": []}', "unique keys"),
        (b"[]", "no in-toto statement"),
        (b"{", "not a JSON object"),
        (b'{"a":' * 100_000, "not a JSON object"),
        (b"\xff", "not a JSON object"),
        (_statement().decode().encode("utf-16"), "not a JSON object"),
        (_statement()[:-1] + b', "x": NaN}', "not a JSON object"),
        (_statement()[:-1] + rb', "x": "\ud800"}', "not a JSON object"),
    ],
    ids=range(16),
)
def test_statements_of_something_else_are_refused(
    instance: Instance, verifier: AttestationVerifier, statement: bytes, words: str
) -> None:
    """Although they are signed by the right publisher."""
    assert words in refusal(verifier, [instance.attestation(NAME, SHA256, statement=statement)])


def test_two_attestations_of_a_type_are_refused(instance: Instance, verifier: AttestationVerifier) -> None:
    """And so is more than one log entry, of which but one would be verified."""
    one, two = (instance.attestation(NAME, SHA256) for _ in range(2))
    assert "two attestations of the type" in refusal(verifier, [one, two])
    assert "3 attestations" in refusal(verifier, [one, two, instance.attestation(NAME, SHA256, predicate=SLSA)])
    one["verification_material"]["transparency_entries"] *= 2
    assert "2 transparency log entries" in refusal(verifier, [one])


@pytest.mark.parametrize(
    "sent",
    [b"", b"{}", b"[1]", b"[{}]", b"not JSON", b"[" * 100_000, b'[{"version": 2}]', b"\xff", b"null", b'["\\ud800"]'],
    ids=range(10),
)
def test_what_is_no_list_of_attestations_is_refused(verifier: AttestationVerifier, sent: bytes) -> None:
    """Whatever is wrong with it."""
    assert refusal(verifier, sent).startswith("The attestations are not a JSON list of attestation objects")


def test_hostile_values_are_refused(instance: Instance, verifier: AttestationVerifier) -> None:
    """A value of any kind in any place of an attestation is refused, by no other error."""
    hostile: list[Any] = [None, 1, -1, 2**80, 1.5, "", "\udc80", "AA==", [], {}, {"a": {"a": [[]]}}, ["x"] * 50]
    valid = json.dumps(instance.attestation(NAME, SHA256))

    def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return (
            [path, *(place for key, inner in items for place in places(inner, (*path, key)))]
            if path
            else [place for key, inner in items for place in places(inner, (key,))]
        )

    expected = verify(verifier, json.loads(f"[{valid}]"))
    for place in places(json.loads(valid)):
        for value in hostile:
            attestation = json.loads(valid)
            inner = attestation
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            try:
                found = verify(verifier, [attestation])
            except InvalidRequest:
                continue
            assert found == expected, (place, value)  # another spelling of the same, as 1 for "1"


def test_the_public_root_comes_with_the_library() -> None:
    """So nothing is fetched, and nothing is written to a home that a container need not have."""
    assert is_installed()
    verifier = make_verifier("verify", None)
    assert verifier is not None
    verifier.load()


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"{" * 100_000, b'{"mediaType": "x"}', b"x" * 5_000_000])
def test_a_trust_root_that_cannot_be_used_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    """With a sentence that says so."""
    path = tmp_path / "root.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="trust root"):
        make_verifier("auto", str(path))


def test_attestations_can_be_ignored() -> None:
    """Then nothing is loaded."""
    assert make_verifier("ignore", None) is None
