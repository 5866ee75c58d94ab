"""The rules for the records of a store, one record at a time."""

from __future__ import annotations

import time

from quire.domain.errors import Conflict, InvalidName
from quire.store.contracts import MAX_RECORD_PART, Pacing, Record
from quire.testing.helpers import create, document, refused, require
from quire.testing.sandbox import Rule, Sandbox


def a_store_describes_itself(sandbox: Sandbox) -> None:
    """The properties of a store have the types that the contract names, and a store under test is writable."""
    store = sandbox.worker()
    require(store.writable is True, "the store is not writable, so it cannot be checked.")
    require(isinstance(store.validates_inline, bool), "`validates_inline` must be True or False.")
    pacing = store.pacing
    require(pacing is None or isinstance(pacing, Pacing), "`pacing` must be a Pacing or None.")
    require(pacing is None or pacing.batch_size >= pacing.busy_waiters >= 1, "`pacing` must have sizes that fit.")
    require(pacing is None or 0 < pacing.seconds < 1, "`pacing` must not hold validations back for long.")
    require(store.exists is True, "a writable store must say that it exists.")
    require(isinstance(store.place, str) and store.place != "", "`place` must say where the store is.")
    require(store.home is None or isinstance(store.home, str), "`home` must be a folder or None.")


def absence_is_an_answer(sandbox: Sandbox) -> None:
    """A key without a record reads as data None, with a tag that is the same for every worker; it can be kept."""
    first, second = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    absent = first.records.read(key)
    require(absent.key == key and absent.data is None, "a key that was never written must read as data None.")
    require(isinstance(absent.tag, str), "absence must have a tag.")
    require(not absent.was_written, "a key that was never written must have the tag of that.")
    require(second.records.read(key).tag == absent.tag, "two workers must see the same tag for the same absence.")
    require(first.records.read(key, absent) is absent, "known absence must be returned as the very same object.")
    require(first.records.names(sandbox.folder).names == (), "a folder that was never written has no names.")


def a_write_is_read_at_once(sandbox: Sandbox) -> None:
    """After a write returned, every worker reads it, given an older record or none."""
    writer, fresh, knows_absence, knows_old = (sandbox.worker() for _ in range(4))
    key = sandbox.record()
    absent = knows_absence.records.read(key)
    old = create(writer, key, document(1))
    require(old.data == document(1), "write must return the record as it is now stored.")
    require(
        knows_absence.records.read(key, absent).data == document(1), "a worker that knew of absence still answers it."
    )
    remembered = knows_old.records.read(key)
    for number in range(2, 12):
        written = writer.records.write(key, document(number), old)
        for reader_is, reader, known in (
            ("a worker that knew nothing", fresh, None),
            ("a worker that knew an older document", knows_old, remembered),
            ("a worker that once knew of absence", knows_absence, absent),
            ("the writer itself", writer, old),
        ):
            found = reader.records.read(key, known)
            require(found.data == document(number), f"{reader_is} did not read what a completed write had stored.")
            require(found.tag == written.tag, f"{reader_is} sees another tag than the writer.")
        old = written
        if number % 3 == 0:
            remembered = knows_old.records.read(key, remembered)


def a_document_that_can_be_made_again_is_one_like_others(sandbox: Sandbox) -> None:
    """One that need not be durable is read by all at once, conflicts with other first documents, and is replaced."""
    writer, knows_absence = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    absent = knows_absence.records.read(key)
    first = writer.records.write(key, document(1), writer.records.read(key), durable=False)
    require(knows_absence.records.read(key, absent).data == document(1), "a document that was just written is missing.")
    require(key.rpartition("/")[2] in writer.records.names(sandbox.folder).names, "its name is not listed.")
    with refused(Conflict, "a first document where there is one"):
        knows_absence.records.write(key, document(2), absent, durable=False)
    writer.records.write(key, document(3), first, durable=False)
    require(sandbox.worker().records.read(key).data == document(3), "the next document is not the one that is read.")


def documents_are_kept_exactly(sandbox: Sandbox) -> None:
    """A document is read as it was written, to the byte, a small one and a large one."""
    writer, reader = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    for data in (b"{}", b'{"a": 1}\r\n\n', '{"a": "ü€😀"}'.encode(), document(7, 2_000_000), b'{"\\u0000": 1}', b"{}"):
        create(writer, key, data)
        require(reader.records.read(key).data == data, f"a document of {len(data)} bytes did not come back the same.")


def an_unchanged_record_is_the_same_object(sandbox: Sandbox) -> None:
    """`read(key, known)` returns `known` itself while nothing changed, also what `write` returned."""
    writer, reader = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    written = create(writer, key, document(1))
    known = reader.records.read(key)
    for _ in range(3):
        require(reader.records.read(key, known) is known, "an unchanged record must be the very object that was known.")
        require(writer.records.read(key, written) is written, "what write returned must be known to the next read.")
    deleted = writer.records.write(key, None, written)
    require(writer.records.read(key, deleted) is deleted, "a deletion that is known must be the very same object.")
    require(reader.records.read(key, known) is not known, "a deleted record must not be answered from memory.")


def every_write_makes_a_new_state(sandbox: Sandbox) -> None:
    """Tags are equal for equal states only. A write makes a new state even if it brings old content back."""
    workers = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    first = workers[0].records.read(key)
    seen = {first.tag: "the absence before the first write"}
    current = first
    for step, data in enumerate((b'"A"', b'"B"', b'"A"', b'"A"', None, b'"A"', None)):
        stale = current
        current = workers[step % 2].records.write(key, data, workers[step % 2].records.read(key))
        require(current.tag not in seen, f"write {step} ({data!r}) has the tag of {seen.get(current.tag)}.")
        for worker in workers:
            found = worker.records.read(key)
            require(found.tag == current.tag, "two workers see different tags for the same state.")
            with refused(Conflict, f"a write that expects the state before write {step}"):
                worker.records.write(key, b'"stale"', stale)
            with refused(Conflict, "a write that expects the absence before the first write, after it"):
                worker.records.write(key, b'"stale"', first)
        seen[current.tag] = f"write {step} ({data!r})"


def a_conflict_changes_nothing(sandbox: Sandbox) -> None:
    """A write that is refused leaves document, tag and names as they are, for a write and for a deletion."""
    one, other = sandbox.worker(), sandbox.worker()
    key, elsewhere = sandbox.record("present"), sandbox.record("absent")
    absent, unborn = other.records.read(key), other.records.read(elsewhere)
    create(one, key, document(1))
    stale = other.records.read(key)
    current = one.records.write(key, document(2), one.records.read(key))
    gone = one.records.write(elsewhere, None, create(one, elsewhere, document(3)))
    for expected in (absent, stale):
        for data in (document(4), None):
            with refused(Conflict, "a write whose expected record is no longer the stored one"):
                other.records.write(key, data, expected)
            found = other.records.read(key)
            require((found.data, found.tag) == (document(2), current.tag), "a refused write changed the record.")
    with refused(Conflict, "a write that expects the absence before a record's whole life, after it"):
        other.records.write(elsewhere, document(5), unborn)
    require(other.records.read(elsewhere).tag == gone.tag, "a refused write changed a deleted record.")
    require(other.records.names(sandbox.folder).names == ("present",), "a refused write changed the names.")
    require(one.records.read(key, current) is current, "a refused write made the record look changed.")


def a_deleted_record_is_absent(sandbox: Sandbox) -> None:
    """Data None deletes, for all workers at once; the absence can be expected, written over, and deleted again."""
    one, other = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    known = before = None
    for number in range(4):
        present = create(one, key, document(number))
        if before is not None:
            require(other.records.read(key, before) is not before, "a record from before a deletion is taken for new.")
            with refused(Conflict, "a write that expects a record from before a deletion and a re-creation"):
                other.records.write(key, document(-1), before)
        before = known = other.records.read(key, known)
        require(known.data == document(number), "a record written over its deletion must be present.")
        deleted = one.records.write(key, None, present)
        require(deleted.data is None, "write must return an absent record for a deletion.")
        found = other.records.read(key, known)
        require(found.data is None, "a worker that knew the record must see it absent as soon as it is deleted.")
        require(found.tag == deleted.tag, "two workers must see the same tag for a deleted record.")
        require(found.was_written and known.was_written, "a record that was written must say so, deleted or not.")
        with refused(Conflict, "a write that expects a record as it was before its deletion"):
            other.records.write(key, document(-1), known)
        known = found
    again = other.records.write(key, None, other.records.read(key))
    require(again.data is None and one.records.read(key).data is None, "deleting what is absent must leave it absent.")
    require(one.records.names(sandbox.folder).names == (), "a record deleted twice must not have a name.")
    unborn = sandbox.record("unborn")
    one.records.write(unborn, None, one.records.read(unborn))
    require(other.records.read(unborn).data is None, "deleting what never was must leave it absent.")
    require(other.records.names(sandbox.folder).names == (), "deleting what never was must not make a name.")
    create(other, unborn, document(9))
    require(one.records.read(unborn).data == document(9), "a key deleted before its first write must be writable.")


def a_deletion_keeps_its_note(sandbox: Sandbox) -> None:
    """The note of a deletion is read by all workers, with the absence; the next write removes it; it needs no data."""
    one, other = sandbox.worker(), sandbox.worker()
    key = sandbox.record()
    present = create(one, key, document(1))
    require(present.note is None, "a record that is there has no note.")
    for note in (b'{"deleted by": "one"}', document(2, 100_000), None):
        deleted = one.records.write(key, None, other.records.read(key), note)
        require(deleted.data is None and deleted.note == note, "write must return the note that it has kept.")
        found = other.records.read(key)
        require(found.data is None and found.note == note, "a deletion's note did not come back the same.")
        require(found.tag == deleted.tag, "two workers must see the same tag for a deletion with a note.")
        require(one.records.names(sandbox.folder).names == (), "a deleted record with a note must not have a name.")
    back = one.records.write(key, document(3), other.records.read(key), b'{"not": "kept"}')
    require((back.data, back.note) == (document(3), None), "a record that is there again must have no note.")
    require(other.records.read(key).note is None, "the note of an earlier deletion must go with the next write.")
    unborn = sandbox.record("unborn")
    deleted = one.records.write(unborn, None, one.records.read(unborn), document(4))
    found = other.records.read(unborn)
    require(
        (found.data, found.note, found.tag) == (None, document(4), deleted.tag),
        "the note of a deletion must be kept also where there never was a document.",
    )
    require(found.was_written, "a record that has a note was written.")
    names = other.records.names(sandbox.folder).names
    require(names == (key.rpartition("/")[2],), "a note where there never was a document must not make a name.")


def written_has_deleted_records_too(sandbox: Sandbox) -> None:
    """The names that ever had a record, of all workers; a folder without any has none."""
    one, other = sandbox.worker(), sandbox.worker()
    require(one.records.written(sandbox.folder) == (), "a folder without records has names that were written.")
    create(one, sandbox.record("kept"), document(1))
    gone = create(other, sandbox.record("gone"), document(2))
    one.records.read(sandbox.record("never"))
    one.records.write(gone.key, None, gone)
    for worker in (one, other):
        found = worker.records.written(sandbox.folder)
        require(found == ("gone", "kept"), "written must have present and deleted names, sorted, and no others.")


def changes_are_among_those_that_there_may_be(sandbox: Sandbox) -> None:
    """A record that was written after a moment is among those that may have been, if the store can say which."""
    one, other = sandbox.worker(), sandbox.worker()
    begun = time.time()
    kept = create(one, sandbox.record("kept"), document(1))
    one.records.write(kept.key, document(2), kept)
    found = other.records.perhaps_changed(sandbox.folder, begun)
    require(found is None or "kept" in found, "perhaps_changed must have each record that was written since.")


def a_draft_is_written_as_its_bytes_are(sandbox: Sandbox) -> None:
    """A draft stores nothing by itself, is refused where its bytes would be, and is read back as they are."""
    writer, reader = sandbox.worker(), sandbox.worker()
    key, unborn = sandbox.record(), sandbox.record("unborn")
    first = create(writer, key, document(1))
    for number, padding in ((2, 0), (3, 100_000)):
        draft = writer.records.draft(key, document(number, padding))
        require(draft == document(number, padding), "a draft must be the bytes that it was made of.")
        require(reader.records.read(key).tag == first.tag, "a draft was stored before it was written.")
        written = writer.records.write(key, draft, first)
        require(written.data == document(number, padding), "write must return the record as it is now stored.")
        require(reader.records.read(key).data == document(number, padding), "a draft is not read back as it was.")
        draft.discard()
        require(reader.records.read(key).tag == written.tag, "discarding a draft that was written changed the record.")
        late = writer.records.draft(key, document(-1))
        with refused(Conflict, "writing a draft upon what is no longer stored"):
            writer.records.write(key, late, first)
        late.discard()
        first = reader.records.read(key)
        require(first.tag == written.tag, "a draft that was refused changed the record.")
    given_up = writer.records.draft(key, document(-1))
    given_up.discard()
    given_up.discard()
    require(reader.records.read(key, first) is first, "a draft that was discarded changed the record.")
    absent = reader.records.read(unborn)
    draft = writer.records.draft(unborn, document(4))
    require(reader.records.names(sandbox.folder).names == ("record",), "a draft made a name.")
    writer.records.write(unborn, draft, absent)
    draft.discard()
    require(reader.records.read(unborn).data == document(4), "a first document that was a draft is not read back.")


def similar_keys_are_different_records(sandbox: Sandbox) -> None:
    """Keys that only look alike, and the longest ones allowed, each have their own record."""
    writer, reader = sandbox.worker(), sandbox.worker()
    names = [
        "a-b",
        "a_b",
        "ab",
        "a",
        "0",
        "00",
        "a--b",
        "a-",
        "b" * MAX_RECORD_PART,
        "b" * (MAX_RECORD_PART - 1),
        "tmp",
        "incoming",
        "records",
        "00000001",
    ]
    for number, name in enumerate(names):
        create(writer, sandbox.record(name), document(number))
    for number, name in enumerate(names):
        require(reader.records.read(sandbox.record(name)).data == document(number), f"{name!r} is not kept apart.")
    require(reader.records.names(sandbox.folder).names == tuple(sorted(names)), "names must be sorted and complete.")


def record_keys_cannot_escape(sandbox: Sandbox) -> None:
    """A key that could leave its folder is refused as InvalidName by every operation, before anything else."""
    records = sandbox.worker().records
    inside = sandbox.folder
    hostile = ["../x", "A", "", "a//b", "a/.b", "a/../b", "/a", "a/", ".", "..", "a\n", "a\0", "a.b", "ä", "-a", "a b"]
    for key in [
        *hostile,
        f"{inside}/../../x",
        f"{inside}/" + "a" * (MAX_RECORD_PART + 1),
        f"{inside}/" + "a" * 300,
        f"{inside}/X",
    ]:
        with refused(InvalidName, f"read({key!r})"):
            records.read(key)
        for data in (b"{}", None):
            with refused(InvalidName, f"write({key!r})"):
                records.write(key, data, Record(key, None, ""))
        with refused(InvalidName, f"draft({key!r})"):
            records.draft(key, b"{}")
        if key:
            with refused(InvalidName, f"names({key!r})"):
                records.names(key)


def prefixes_have_all_records(sandbox: Sandbox) -> None:
    """`prefixes` names the folder of every record, of a deleted one too, at once and for every worker; sorted."""
    worker, other = sandbox.worker(), sandbox.worker()
    require(sandbox.folder not in other.records.prefixes(), "prefixes names a folder that was never written.")
    for name in ("record", "deep/record"):
        record = create(worker, sandbox.record(name), document(1))
        for observer in (worker, other):
            require(sandbox.folder in observer.records.prefixes(), "prefixes lacks the folder of a record.")
        worker.records.write(record.key, None, record)
    found = other.records.prefixes()
    require(sandbox.folder in found, "prefixes lacks the folder of deleted records.")
    require(list(found) == sorted(set(found)), "prefixes must be sorted, each once.")
    require(all(prefix.count("/") == 1 for prefix in found), "prefixes must be two parts deep.")


def an_erased_record_leaves_no_trace(sandbox: Sandbox) -> None:
    """`erase` removes a record, or all of a folder, present or deleted, for every worker; what is beside it stays."""
    worker, other = sandbox.worker(), sandbox.worker()
    kept, erased = sandbox.record("beside/kept"), sandbox.record("erased/deep/record")
    gone, beside = sandbox.record("beside/gone"), sandbox.record("beside/gone-not")
    for key in (kept, beside, erased, f"{erased}-deleted", gone):
        record = create(worker, key, document(1))
        if key.endswith("deleted") or key == gone:
            worker.records.write(key, None, record)
    known = other.records.read(erased)
    for _ in range(2):
        worker.records.erase(f"{sandbox.folder}/erased")
        worker.records.erase(gone)
        for key in (erased, f"{erased}-deleted", gone):
            require(not sandbox.worker().records.read(key).was_written, f"{key} is there after it was erased.")
        require(other.records.read(erased, known).data is None, "a known record is answered after it was erased.")
        require(other.records.names(f"{sandbox.folder}/erased/deep").names == (), "an erased record is listed.")
        written = other.records.written(f"{sandbox.folder}/beside")
        require(written == ("gone-not", "kept"), "an erased name is among those that were written.")
        require(other.records.read(kept).data == document(1), "erasing took a record beside it.")
    with refused(InvalidName, "erase('')"):
        worker.records.erase("")


RULES: tuple[Rule, ...] = (
    a_store_describes_itself,
    absence_is_an_answer,
    a_write_is_read_at_once,
    a_document_that_can_be_made_again_is_one_like_others,
    documents_are_kept_exactly,
    an_unchanged_record_is_the_same_object,
    every_write_makes_a_new_state,
    a_conflict_changes_nothing,
    a_deleted_record_is_absent,
    a_deletion_keeps_its_note,
    written_has_deleted_records_too,
    changes_are_among_those_that_there_may_be,
    a_draft_is_written_as_its_bytes_are,
    similar_keys_are_different_records,
    record_keys_cannot_escape,
    prefixes_have_all_records,
    an_erased_record_leaves_no_trace,
)
