"""Lock files in TOML and JSON: of uv, poetry, pdm, pipenv, and those of PEP 751.

A format of a newer version than those that are known is refused rather than half understood. Sources: uv's reference of
its lock file (version 1; revisions only add fields), poetry's `packages/locker.py` (1.x and 2.x), pdm's
`lockfile/pdm_lock.py` (4.x), pipenv's Pipfile specification (6), PEP 751 (1.x, read by `packaging.pylock`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from packaging.pylock import PackageSdist, PackageWheel, Pylock, PylockValidationError

from quire.domain.errors import InvalidRequest
from quire.locks.locked import (
    Lock,
    LockBuilder,
    LockedFile,
    digest_of,
    filename_of,
    locked_file,
    said,
    table_of,
    tables_of,
    text_of,
)

Document = Mapping[str, Any]

_LOCAL: Final = {
    "directory": "a directory",
    "editable": "a directory",
    "virtual": "the project itself",
    "path": "a file",
}
_FAR: Final = {"git": "a Git repository", "url": "a URL"}


def read_uv(document: Document) -> Lock:
    """`uv.lock`. Raises InvalidRequest."""
    if document.get("version") != 1:
        raise InvalidRequest(f"a uv.lock of version {said(document.get('version'))} is not known; version 1 is")
    builder = LockBuilder("uv.lock")
    for package in tables_of(document.get("package"), "package"):
        name, source = package.get("name"), table_of(package.get("source"), "source")
        registry = source.get("registry")
        if isinstance(registry, str) and registry.startswith(("http://", "https://")):
            entries = tables_of(package.get("wheels"), "wheels")
            entries += [table_of(package["sdist"], "sdist")] if "sdist" in package else []
            builder.release(name, package.get("version"), map(_of_uv, entries))
        elif registry is not None:
            builder.elsewhere(name, "a directory of files", is_local=True)
        else:
            _elsewhere(builder, name, source)
    return builder.lock()


def _of_uv(entry: Document) -> LockedFile:
    filename = entry["filename"] if "filename" in entry else filename_of(entry.get("url"))
    return locked_file(filename, [entry["hash"]] if "hash" in entry else [])


def read_poetry(document: Document) -> Lock:
    """`poetry.lock`. Raises InvalidRequest."""
    metadata = table_of(document.get("metadata"), "metadata")
    version = text_of(metadata.get("lock-version"), "metadata.lock-version")
    if version.partition(".")[0] not in {"1", "2"}:
        raise InvalidRequest(f"a poetry.lock of version {said(version)} is not known; 1 and 2 are")
    beside = table_of(metadata.get("files", {}), "metadata.files")
    """Where poetry before 1.3 has the files of all packages."""
    builder = LockBuilder("poetry.lock")
    for package in tables_of(document.get("package"), "package"):
        name, source = package.get("name"), table_of(package.get("source", {}), "source")
        kind = source.get("type", "legacy")
        if kind == "legacy":
            builder.release(name, package.get("version"), map(_of_file, _files(package, beside.get(str(name)))))
        else:
            _elsewhere(builder, name, {"path" if kind == "file" else str(kind): True})
    return builder.lock()


def read_pdm(document: Document) -> Lock:
    """`pdm.lock`. Raises InvalidRequest."""
    version = text_of(table_of(document.get("metadata"), "metadata").get("lock_version"), "metadata.lock_version")
    if version.partition(".")[0] != "4":
        raise InvalidRequest(f"a pdm.lock of version {said(version)} is not known; 4 is")
    builder = LockBuilder("pdm.lock")
    for package in tables_of(document.get("package"), "package"):
        if any(key in package for key in ("path", "git", "url")):
            _elsewhere(builder, package.get("name"), package)
        else:
            builder.release(package.get("name"), package.get("version"), map(_of_file, _files(package, None)))
    return builder.lock()


def _files(package: Document, beside: object) -> list[Document]:
    return tables_of(package.get("files") or beside, "files")


def _of_file(entry: Document) -> LockedFile:
    filename = entry["file"] if "file" in entry else filename_of(entry.get("url"))
    return locked_file(filename, [entry["hash"]] if "hash" in entry else [])


def read_pipfile(document: Document) -> Lock:
    """`Pipfile.lock`. It names digests, and no files. Raises InvalidRequest."""
    meta = table_of(document.get("_meta"), "_meta")
    if meta.get("pipfile-spec") != 6:
        raise InvalidRequest(f"a Pipfile.lock of version {said(meta.get('pipfile-spec'))} is not known; 6 is")
    builder = LockBuilder("Pipfile.lock")
    for group, packages in document.items():
        for name, package in table_of(packages, group).items() if group != "_meta" else ():
            entry = table_of(package, name)
            version = entry.get("version")
            if isinstance(version, str) and version.startswith("==") and "git" not in entry:
                hashes = entry.get("hashes", [])
                if not isinstance(hashes, list):
                    raise InvalidRequest(f"the hashes of {said(name)} are no array")
                builder.release(name, version.removeprefix("==").lstrip("="), digests=map(digest_of, hashes))
            else:
                file = entry.get("file")
                source = {"url": file} if isinstance(file, str) and "://" in file else {"path": file}
                _elsewhere(builder, name, entry if file is None else source)
    return builder.lock()


def read_pylock(document: Document) -> Lock:
    """`pylock.toml` (PEP 751). Raises InvalidRequest."""
    try:
        pylock = Pylock.from_dict(document)
        builder = LockBuilder("pylock.toml")
        for package in pylock.packages:
            files = [*(package.wheels or ()), *((package.sdist,) if package.sdist is not None else ())]
            if files:
                version = None if package.version is None else str(package.version)
                builder.release(package.name, version, map(_of_pylock, files))
            elif package.directory is not None:
                builder.elsewhere(package.name, "a directory", is_local=True)
            elif package.archive is not None:
                is_local = package.archive.url is None
                builder.elsewhere(package.name, "a file" if is_local else "a URL", is_local=is_local)
            else:
                builder.elsewhere(package.name, "a repository", is_local=False)
    except PylockValidationError as error:
        raise InvalidRequest(f"it is no pylock.toml as PEP 751 has it ({said(error)})") from error
    return builder.lock()


def _of_pylock(file: PackageWheel | PackageSdist) -> LockedFile:
    # packages before 26.1 have no filename of sdists
    filename = file.name or filename_of(file.url if file.url is not None else file.path)
    return locked_file(filename, [f"{name}:{digest}" for name, digest in file.hashes.items()])


def _elsewhere(builder: LockBuilder, name: object, source: Document) -> None:
    for key, words in _FAR.items():
        if key in source:
            builder.elsewhere(name, words, is_local=False)
            return
    local = next((words for key, words in _LOCAL.items() if key in source), None)
    builder.elsewhere(name, local or "a source that is not known", is_local=local is not None)


def parse_json(data: str) -> object:
    """Raises InvalidRequest."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"it is no JSON ({said(error)})") from None
