"""Documents of projects as servers and commands see them: made from views, the same for both."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from quire.administration.documents import FileEntry, ProjectDetails, ProjectEntry, Release, ReleaseEntry, ReleaseList
from quire.archives.metadata import CoreMetadata, parse_metadata
from quire.catalog.sources import ListedFile
from quire.catalog.views import ProjectView
from quire.domain.errors import NotFound, QuireError
from quire.domain.names import same_version, version_sort_key
from quire.domain.project import File
from quire.domain.rulings import Decision
from quire.index.audit.reading import LogReader
from quire.index.index import Index
from quire.observe.metrics.catalog import TRASH_ACTIONS
from quire.render.pypi_json import describing_file, select_release
from quire.render.simple import release_versions


def file_entry(listed: ListedFile, path: str | None = None, decision: Decision | None = None) -> FileEntry:
    """A file. `path`: of a drop-in, where it lies; `decision`: of a policy that warns of it."""
    file = listed.file
    is_drop_in = _is_drop_in(listed)
    return FileEntry(
        filename=file.filename,
        version=file.version,
        size=file.size,
        hashes=file.hashes,
        uploaded=file.uploaded,
        uploader=file.uploader,
        job=file.job,
        requires_python=file.requires_python,
        yanked=file.yanked,
        metadata_sha256=file.metadata_sha256,
        signed=file.signed,
        attested=file.provenance_sha256 is not None,
        drop_in=is_drop_in,
        mirrored=listed.needs_awaiting,
        place=listed.place if is_drop_in else None,
        path=path,
        warning=None if decision is None else f"{decision.sentence}.",
    )


def project_of(
    index: str, view: ProjectView, deleted: dict[str, str], paths: Mapping[str, str] | None = None
) -> ProjectDetails:
    """A project. `deleted`: as Index.deleted has it. `paths`: of drop-ins, by filename, where they are told."""
    return ProjectDetails(
        index=index,
        project=view.name,
        name=view.display_name,
        exists=view.exists,
        status=str(view.status),
        status_reason=view.status_reason,
        versions=release_versions(_files(view)),
        files=[file_entry(each, (paths or {}).get(each.file.filename)) for each in view.files.values()],
        deleted=deleted,
    )


def entry_of(view: ProjectView) -> ProjectEntry:
    """A project in the list of all."""
    files = list(view.files.values())
    return entry(
        view.name,
        {each.file.filename: (each.file.version, each.file.size) for each in files},
        stored=any(each.removal_problem is None for each in files) or not files,
        drop_in=any(map(_is_drop_in, view.all_files())),
        mirrored=any(each.needs_awaiting for each in files),
    )


def entry(
    name: str,
    files: Mapping[str, tuple[str, int]],
    *,
    stored: bool,
    drop_in: bool,
    mirrored: bool = False,
    error: str | None = None,
) -> ProjectEntry:
    """A project in the list of all. `files`: version and size of each, by filename."""
    versions = sorted({version for version, _ in files.values() if version}, key=version_sort_key)
    return ProjectEntry(
        name=name,
        stored=stored,
        drop_in=drop_in,
        mirrored=mirrored,
        latest=versions[-1] if versions else None,
        versions=versions,
        files=len(files),
        size=sum(size for _, size in files.values()),
        error=error,
    )


def releases_of(view: ProjectView) -> ReleaseList:
    """The releases of a project."""
    by_key: dict[object, list[File]] = {}
    for file in _files(view):
        by_key.setdefault(version_sort_key(file.version), []).append(file)
    found = []
    for version in release_versions(_files(view)):
        files = by_key[version_sort_key(version)]
        times = sorted(file.uploaded for file in files if file.uploaded)
        found.append(
            ReleaseEntry(
                version=version,
                files=len(files),
                size=sum(file.size for file in files),
                yanked=all(file.yanked is not False for file in files),
                uploaded=times[0] if times else None,
            )
        )
    return ReleaseList(project=view.name, releases=found)


def release_of(view: ProjectView, version: str | None) -> Release:
    """A release; the newest where `version` is None. Blocks. Raises NotFound."""
    files = _files(view)
    versions = release_versions(files)
    if version is not None and not any(same_version(found, version) for found in versions):
        raise NotFound(f"The project {view.name} has no release {version[:100]}.")
    shown = select_release(files, version) if versions else None
    metadata = _metadata(view, files, shown)
    return Release(
        project=view.name,
        version=shown,
        files=[
            file_entry(each) for each in view.files.values() if shown is None or same_version(each.file.version, shown)
        ],
        metadata=dict(sorted(metadata.fields.items())) if metadata is not None else None,
        metadata_name=metadata.name if metadata is not None else None,
        requires_python=metadata.requires_python if metadata is not None else None,
    )


def log_reader(index: Index) -> LogReader:
    """A reader of the log of an index, and of its trash."""
    records, trash = index.store.records, index.trash
    further = LogReader(records, trash.name, trash.prefix, actions=TRASH_ACTIONS)
    return LogReader(records, index.name, index.prefix, further=further)


def _is_drop_in(listed: ListedFile) -> bool:
    return listed.removal_problem is not None and not listed.needs_awaiting


def _metadata(view: ProjectView, files: Collection[File], version: str | None) -> CoreMetadata | None:
    file = describing_file(list(files), version) if version is not None else None
    if file is None:
        return None
    try:
        document = view.files[file.filename].metadata_document()
        return None if document is None else parse_metadata(document, strict=False)
    except (QuireError, OSError):
        return None  # 'quire check' says why


def _files(view: ProjectView) -> list[File]:
    return [each.file for each in view.files.values()]
