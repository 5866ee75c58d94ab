"""Attestations over HTTP: verified against the publisher that uploads, then served as provenance; else the upload is
refused, or, where a server verifies none, accepted without them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypi_attestations import Provenance
from pypi_simple import PyPISimple

from quire.access.ci_identities import CiIdentity
from quire.domain.changes import Selection
from quire.render.negotiation import MediaType
from quire.store.posix.store import PosixStore
from tests.asking import Site, nothing_changes, post, serve, twine_form
from tests.attestations.instance import JOB, SLSA, Instance, minted
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name

PUBLIC = "https://packages.example"
INTEGRITY = "application/vnd.pypi.integrity.v1+json"
FLAGS = ("-a", "update", "--disable-fallback", "--public-url", f"{PUBLIC}/")


def mint(site: Site, job: CiIdentity | None = JOB) -> str:
    """The Authorization of a token for a job, or of one that a person made (None)."""
    return f"Bearer {minted(PosixStore.open(site.root), job)}"


def upload(site: Site, name: str, sent: Any, authorization: str, version: str = "1.0") -> httpx.Response:
    """Upload a wheel with `sent` in the field of attestations: bytes, or what they are the JSON of."""
    field = sent if isinstance(sent, str) else json.dumps(sent)
    filename, content = wheel_name(name, version), make_wheel(name, version)
    parts = [*twine_form(filename, content, name=name, version=version), ("attestations", field)]
    return post(site, parts, authorization=authorization)


def attest(instance: Instance, name: str, version: str = "1.0", **options: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(make_wheel(name, version)).hexdigest()
    return instance.attestation(wheel_name(name, version), sha256, **options)


@pytest.fixture(scope="module")
def instance() -> Instance:
    return Instance()


@pytest.fixture(scope="module")
def trust_root(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("root") / "trusted_root.json"
    path.write_bytes(instance.trust_root())
    return path


@pytest.fixture(scope="module")
def site(trust_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("verifying"), *FLAGS, "--attestations-trust-root", trust_root) as served:
        yield served


@pytest.fixture(scope="module")
def publisher(site: Site) -> str:
    return mint(site)


def test_a_verified_attestation_is_served_as_provenance(site: Site, publisher: str, instance: Instance) -> None:
    """The pages name its address; installers and PyPI's own models read it. A file without one has none."""
    sent = [attest(instance, "attested"), attest(instance, "attested", predicate=SLSA)]
    answer = upload(site, "attested", sent, publisher)
    assert (answer.status_code, answer.text) == (200, f"{wheel_name('attested', '1.0')} was published.\n")
    assert "quire-attestations" not in answer.headers
    sdist = sdist_name("attested", "1.0")
    bare = twine_form(sdist, make_sdist("attested", "1.0"), name="attested", version="1.0")
    assert post(site, bare, authorization=publisher).status_code == 200
    path = f"/integrity/attested/1.0/{wheel_name('attested', '1.0')}/provenance"
    urls = {file["filename"]: file["provenance"] for file in site.listing("attested")["files"]}
    assert urls == {wheel_name("attested", "1.0"): f"{PUBLIC}{path}", sdist: None}
    found = site.client.get(path)
    assert (found.status_code, found.headers["content-type"]) == (200, INTEGRITY)
    provenance = Provenance.model_validate_json(found.content)
    assert [each.publisher.kind for each in provenance.attestation_bundles] == ["GitHub"]
    assert len(provenance.attestation_bundles[0].attestations) == 2
    for accept in (str(MediaType.JSON_V1), str(MediaType.HTML)):
        with PyPISimple(f"{site.base}simple/") as client:
            page = client.get_project_page("attested", accept=accept)
            package = next(each for each in page.packages if each.filename.endswith(".whl"))
            assert package.provenance_url == f"{PUBLIC}{path}"
    assert (
        site.client.get(f"{site.file_url('attested', wheel_name('attested', '1.0'))}.attestations").status_code == 404
    )


def test_the_address_of_provenance(site: Site, publisher: str, instance: Instance) -> None:
    """Media types, validators, other spellings, and what is not there."""
    assert upload(site, "spelt", [attest(instance, "spelt")], publisher).status_code == 200
    filename = wheel_name("spelt", "1.0")
    path = f"/integrity/spelt/1.0/{filename}/provenance"

    def get(where: str = path, **headers: str) -> httpx.Response:
        return site.client.get(where, headers=headers)

    whole = get()
    assert (whole.headers["vary"], whole.headers["cache-control"]) == ("Accept, Accept-Encoding", "no-cache")
    assert get(**{"if-none-match": whole.headers["etag"]}).status_code == 304
    assert site.client.head(path).headers["etag"] == whole.headers["etag"]
    for accept, kind in {
        "application/json": "application/json",
        "application/json, */*;q=0.1": "application/json",
        "*/*": INTEGRITY,
        "application/*": INTEGRITY,
        f"application/json;q=0.5, {INTEGRITY};q=0.6": INTEGRITY,
        "nonsense": INTEGRITY,
    }.items():
        assert (get(accept=accept).headers["content-type"], get(accept=accept).json()) == (kind, whole.json()), accept
    for accept in ("text/html", "application/json;q=0", "application/vnd.pypi.integrity.v2+json"):
        refused = get(accept=accept)
        assert (refused.status_code, INTEGRITY in refused.text) == (406, True), accept
    assert get(f"/integrity/Spelt/1.0.0/{filename}/provenance").json() == whole.json()
    for missing in (
        f"/integrity/other/1.0/{filename}/provenance",
        f"/integrity/-/1.0/{filename}/provenance",
        f"/integrity/spelt/2.0/{filename}/provenance",
        f"/integrity/spelt/%00/{filename}/provenance",
        "/integrity/spelt/1.0/spelt-1.0.tar.gz/provenance",
        f"/integrity/spelt/1.0/{filename}/provenance/",
        f"/integrity/spelt/1.0/..%2f{filename}/provenance",
    ):
        assert get(missing).status_code == 404, missing


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ("not JSON", 400, "not a JSON list of attestation objects"),
        ("[" * 50_000, 400, "not a JSON list of attestation objects"),
        ([], 400, "list of attestations is empty"),
        ([{"version": 1}], 400, "not a JSON list of attestation objects"),
        ("x" * 10_000_000, 413, "The form field attestations is larger than 1024 KiB"),
    ],
    ids=["text", "nested", "empty", "incomplete", "10 MB"],
)
def test_what_is_no_attestation_refuses_the_upload(
    site: Site, publisher: str, sent: Any, status: int, words: str
) -> None:
    """And leaves nothing behind."""
    with nothing_changes(site):
        answer = upload(site, "refused", sent, publisher)
        assert (answer.status_code, words in answer.text) == (status, True)


def test_an_invalid_attestation_refuses_the_upload(site: Site, publisher: str, instance: Instance) -> None:
    """Another file's, another identity's, another instance's; the same upload without it is accepted."""
    with nothing_changes(site):
        for sent, words in (
            (attest(instance, "refused", "2.0"), "is of 'refused-2.0-py3-none-any.whl', not of refused-1.0"),
            (attest(instance, "refused", claims={8: "https://ci.example"}), "signed by another identity"),
            (attest(Instance(), "refused"), "is not valid"),
        ):
            answer = upload(site, "refused", [sent], publisher)
            assert (answer.status_code, words in answer.text) == (400, True), answer.text
    assert upload(site, "refused", "", publisher).status_code == 200


def test_an_upload_by_no_publisher_is_refused_with_attestations(site: Site, instance: Instance) -> None:
    """A token that people made is of no identity that a signature could be compared with."""
    token = mint(site, None)
    with nothing_changes(site):
        answer = upload(site, "by-hand", [attest(instance, "by-hand")], token)
        assert answer.status_code == 400
        assert "upload by trusted publishing, or without attestations" in answer.text
    assert upload(site, "by-hand", "", token).status_code == 200


def test_provenance_goes_with_its_file(site: Site, publisher: str, instance: Instance) -> None:
    """It stays when the file is yanked, and is removed with it. The same file with other attestations changes nothing;
    a damaged document is not served."""
    assert upload(site, "gone", [attest(instance, "gone")], publisher).status_code == 200
    path = f"/integrity/gone/1.0/{wheel_name('gone', '1.0')}/provenance"
    before = site.client.get(path).content
    other = upload(site, "gone", [attest(instance, "gone")], publisher)
    assert "nothing changed. Its attestations were not kept: the file was published before" in other.text
    assert other.headers["quire-attestations"] == "not-kept"
    site.index().yank("gone", Selection(version="1.0"))
    assert site.client.get(path).content == before
    blob = next(each for each in site.blobs() if each.endswith(f"{wheel_name('gone', '1.0')}.attestations"))
    document = site.root / "quire" / "blobs" / blob
    document.write_bytes(before.replace(b"acme/tools", b"evil/tools"))
    damaged = site.client.get(path)
    assert (damaged.status_code, "quire check" in damaged.text) == (503, True)
    document.write_bytes(before)
    change = site.index().delete("gone", Selection())
    assert site.client.get(path).status_code == 404
    site.index().remove_blobs(change.removed)
    assert not [each for each in site.blobs() if each.startswith("gone/")]


def test_attestations_are_added_to_a_file_without(site: Site, publisher: str, instance: Instance) -> None:
    """Of the same content; the answer says so."""
    assert upload(site, "later", "", publisher).text.endswith(" was published.\n")
    sent = [attest(instance, "later")]
    for words in ("with the same content; its attestations were added.\n", "with the same content; nothing changed.\n"):
        answer = upload(site, "later", sent, publisher)
        assert answer.text.endswith(words)
        assert "quire-attestations" not in answer.headers
        [file] = site.listing("later")["files"]
        assert str(file["provenance"]).endswith("/provenance")


def test_a_server_that_verifies_none_accepts_the_file_alone(instance: Instance, tmp_path: Path) -> None:
    """It says so in a header, to people, and in its log; nothing of the attestations is kept. Under a prefix, too."""
    with serve(tmp_path, *FLAGS, "--attestations", "ignore", "--server-base-url", "/python", "-v") as site:
        sent_with = [attest(instance, "alone")]
        for sent, version in ((sent_with, "1.0"), (sent_with, "1.0"), ("not JSON", "2.0")):
            answer = upload(site, "alone", sent, mint(site), version)
            assert answer.status_code == 200
            assert answer.headers["quire-attestations"] == "not-kept"
            assert answer.text.endswith("Its attestations were not kept: this server verifies none.\n")
        assert "attestations not kept" in site.served.output()
        assert {each["provenance"] for each in site.listing("alone")["files"]} == {None}
        assert not [each for each in site.blobs() if each.endswith(".attestations")]
        gone = site.client.get(f"/integrity/alone/1.0/{wheel_name('alone', '1.0')}/provenance")
        assert (gone.status_code, "has no provenance" in gone.text) == (404, True)
