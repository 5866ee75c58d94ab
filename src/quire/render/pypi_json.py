"""The JSON that PyPI answers at `/pypi/<name>/json` and `/pypi/<name>/<version>/json`.

No standard has it, but older dependency bots and many scripts read it. Keys and types are those that PyPI gives for a
file that is uploaded today. Where a private index knows nothing the values are PyPI's for unknown: `downloads` and
`last_serial` are -1 (nothing is counted, and there is no serial of events to compare), `vulnerabilities` and the roles
of `ownership` are empty, `bugtrack_url` and `docs_url` null. Digests that are not known are left out.

Sources: the "JSON API" page of PyPI's documentation; Warehouse, `legacy/api/json.py`, and `forklift/legacy.py` for what
an upload becomes.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from packaging.utils import canonicalize_name

from quire.archives.metadata import CoreMetadata
from quire.domain.errors import NotFound
from quire.domain.names import Kind, guess_filename, is_prerelease, is_version, same_version, version_sort_key
from quire.domain.project import File, Status
from quire.render.simple import release_versions, sort_files

_DIGESTS: Final = ("blake2b_256", "md5", "sha256")
_TEXT_FIELDS: Final = (
    *("author", "author_email", "description_content_type", "download_url", "home_page"),
    *("license", "license_expression", "maintainer", "maintainer_email", "summary"),
)
_INSTALLERS: Final = {".exe": "bdist_wininst", ".msi": "bdist_msi", ".dmg": "bdist_dmg", ".rpm": "bdist_rpm"}
_NOT_IN_LABELS: Final = str.maketrans("", "", string.punctuation + string.whitespace)
_EGG_PYTHON: Final = re.compile(r"-py(\d[\d.]*\d|\d)(?=-|\.egg$)")


def select_release(files: Sequence[File], version: str | None) -> str:
    """The release that a request is about, normalized where PEP 440 knows it.

    `version` None asks for the one to show for the project: the newest final release, else the newest pre-release, else
    the newest whose version PEP 440 does not know; a yanked release only where there is no other. It is yanked when all
    its files are.
    Raises NotFound when there is no such release, or none at all.
    """
    releases = _by_release(files)
    if version is not None:
        return _find(releases, version)
    if not releases:
        raise NotFound("This project has no releases.")

    def preference(found: str) -> tuple[bool, bool, bool]:
        return not _is_yanked(releases[found]), is_version(found), not is_prerelease(found)

    return max(reversed(releases), key=preference)


def describing_file(files: Sequence[File], version: str) -> File | None:
    """The file whose core metadata describes a release: a wheel before anything else. None when none has metadata.

    Raises NotFound when there is no such release.
    """
    releases = _by_release(files)
    described = [file for file in releases[_find(releases, version)] if file.metadata_sha256]
    described.sort(key=lambda file: not file.filename.endswith(".whl"))
    return described[0] if described else None


def render_release_json(
    name: str,
    files: Sequence[tuple[File, str]],
    version: str | None,
    metadata: CoreMetadata | None,
    *,
    status: Status = Status.ACTIVE,
    project_url: str = "",
) -> bytes:
    """The document of one release, or of the project when `version` is None (then with `releases`).

    `name`: as the project spells it. `files`: all files of the project with their absolute URLs. `metadata`: of the
    release that `select_release` gives for `version`; None when none is known. `project_url`: absolute URL of the
    project's page. The files of a quarantined project are left out.
    Raises NotFound as `select_release` does.
    """
    urls = {file.filename: url for file, url in files}
    releases = _by_release(file for file, _ in files)
    shown = select_release([file for file, _ in files], version)
    release = releases[shown]

    def entries(of: list[File]) -> msgspec.Raw:
        # One release after the other: to encode all files in one call holds up other threads (see `simple`).
        shown_files = of if status.offers_files else []
        return msgspec.Raw(msgspec.json.encode([_file(file, urls[file.filename]) for file in shown_files]))

    document: dict[str, Any] = {
        "info": _info(name, shown, release, metadata, project_url),
        "last_serial": -1,
        "ownership": {"organization": None, "roles": []},
    }
    if version is None:
        document["releases"] = {found: entries(its_files) for found, its_files in releases.items()}
    document["urls"] = entries(release)
    document["vulnerabilities"] = []
    return msgspec.json.encode(document)


def _by_release(files: Iterable[File]) -> dict[str, list[File]]:
    """The files of each release by its normalized version, oldest first. Files without a version are in none."""
    ordered = sort_files(files)
    releases: dict[str, list[File]] = {version: [] for version in release_versions(ordered)}
    by_key = {version_sort_key(version): its_files for version, its_files in releases.items()}
    by_spelling = {version: by_key.get(version_sort_key(version)) for version in {file.version for file in ordered}}
    for file in ordered:
        its_files = by_spelling[file.version]
        if its_files is not None:
            its_files.append(file)
    return releases


def _find(releases: Iterable[str], version: str) -> str:
    for found in releases:
        if same_version(found, version):
            return found
    raise NotFound(f"The project has no release {version[:100]!r}; /pypi/<name>/json lists those it has.")


def _is_yanked(release: list[File]) -> bool:
    return all(file.yanked is not False for file in release)


def _info(
    name: str, version: str, release: list[File], metadata: CoreMetadata | None, project_url: str
) -> dict[str, Any]:
    fields: dict[str, Any] = {} if metadata is None else dict(metadata.fields)
    requires_python = None if metadata is None else metadata.requires_python
    yanked = _is_yanked(release)
    return {field: fields.get(field) or None for field in _TEXT_FIELDS} | {
        "bugtrack_url": None,
        "classifiers": fields.get("classifiers") or [],
        "description": fields.get("description") or "",
        "docs_url": None,
        "downloads": {"last_day": -1, "last_month": -1, "last_week": -1},
        "dynamic": [field.title() for field in fields.get("dynamic") or ()] or None,
        "keywords": ", ".join(fields.get("keywords") or ()) or None,
        "license_files": fields.get("license_files") or None,
        "name": name,
        "package_url": project_url,
        "platform": _first(fields.get("platforms") or ()),
        "project_url": project_url,
        "project_urls": _project_urls(fields) or None,
        "provides_extra": [canonicalize_name(extra) for extra in fields.get("provides_extra") or ()] or None,
        "release_url": project_url,
        "requires_dist": fields.get("requires_dist") or None,
        "requires_python": requires_python or _first(file.requires_python for file in release),
        "version": version,
        "yanked": yanked,
        "yanked_reason": _first(_reason(file) for file in release) if yanked else None,
    }


def _project_urls(fields: dict[str, Any]) -> dict[str, str]:
    """The Project-URLs by label, with Home-page and Download-URL among them unless they are there already (PEP 753)."""
    old = {"homepage": ("Homepage", fields.get("home_page")), "downloadurl": ("Download", fields.get("download_url"))}
    urls: dict[str, str] = {label: url for label, url in old.values() if url}
    for label, url in (fields.get("project_urls") or {}).items():
        well_known = label.translate(_NOT_IN_LABELS).lower()
        if old.get(well_known, ("", None))[1] != url:
            urls[label] = url
    return urls


def _file(file: File, url: str) -> dict[str, Any]:
    packagetype, python_version = _package_type(file.filename)
    return {
        "comment_text": "",
        "core-metadata": {"sha256": file.metadata_sha256} if file.metadata_sha256 else False,
        "digests": {name: file.hashes[name] for name in _DIGESTS if name in file.hashes},
        "downloads": -1,
        "filename": file.filename,
        "has_sig": file.signed,
        "md5_digest": file.hashes.get("md5"),
        "packagetype": packagetype,
        "python_version": python_version,
        "requires_python": file.requires_python,
        "size": file.size,
        "upload_time": file.uploaded[: len("2024-11-06T22:37:09")] if file.uploaded else None,
        "upload_time_iso_8601": file.uploaded,
        "url": url,
        "yanked": file.yanked is not False,
        "yanked_reason": _reason(file),
    }


def _reason(file: File) -> str | None:
    return file.yanked if isinstance(file.yanked, str) else None


def _first(values: Iterable[str | None]) -> str | None:
    return next((value for value in values if value), None)


def _package_type(filename: str) -> tuple[str, str]:
    """PyPI's names for what a file is and for which Python: `source` for sdists, the tag of a wheel, else `any`."""
    parsed = guess_filename(filename)
    if parsed is None:
        return "bdist_dumb", "any"
    if parsed.kind is Kind.WHEEL:
        return "bdist_wheel", filename.split("-")[-3]
    if parsed.kind is Kind.SDIST:
        return "sdist", "source"
    if parsed.kind is Kind.EGG:
        python = _EGG_PYTHON.search(filename)
        return "bdist_egg", "any" if python is None else python[1]
    return _INSTALLERS.get(filename[-4:].lower(), "bdist_dumb"), "any"
