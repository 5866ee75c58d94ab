"""The endpoints of publishing sessions (PEP 694, draft), whose modules are imported at the first request for them."""

from __future__ import annotations

from quire.http.app.lazily import lazily

create = lazily("sessions.handlers", "create")
status = lazily("sessions.handlers", "status")
cancel = lazily("sessions.handlers", "cancel")
extend = lazily("sessions.handlers", "extend")
publish = lazily("sessions.handlers", "publish")
add_file = lazily("sessions.files", "add_file")
file_status = lazily("sessions.files", "file_status")
take_bytes = lazily("sessions.files", "take_bytes")
complete = lazily("sessions.files", "complete")
extend_file = lazily("sessions.files", "extend_file")
take_attestations = lazily("sessions.attesting", "take_attestations")
delete_file = lazily("sessions.files", "delete_file")
