"""The operations of the API under `/-/api/v1/`, for the OpenAPI document. Their schemas are the types of
`quire.administration.documents`, by name.
"""

from __future__ import annotations

from typing import Final

from quire.http.api.operations import NAME_SCHEMA, UNCHANGED, Json, Operation, content, headers_of, in_path, reference


def _answer(schema: str) -> dict[int, Json]:
    return {200: content("application/json", reference(schema))}


def _body(schema: str) -> Json:
    return {"application/json": {"schema": reference(schema)}}


def _query(name: str, description: str, schema: Json | None = None) -> Json:
    schema = schema or {"type": "string", "maxLength": 300}
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


_BODY_ERRORS: Final = (408, 413)
_CHANGE_ERRORS: Final = (404, 409, 412, 507, *_BODY_ERRORS)
_TEXT: Final[Json] = {"type": "string", "minLength": 1, "maxLength": 200}

_INDEX = in_path("index", _TEXT, "The name of an index; `-` for the one at the server's root")
_DEFINED = in_path("defined", _TEXT, "As `index`; the right is on all indexes")
_NAME = in_path("name", NAME_SCHEMA, "A project, in any spelling")
_VERSION = in_path("version", _TEXT, "PEP 440, in any spelling; `-` for the newest")
_GROUP = in_path("group", _TEXT, "The name of a group")
_TOKEN = in_path("token", _TEXT, "The id of a token")
_CURSOR = _query("cursor", "The field `next` of the page before")
_LIMIT = _query("limit", "The most entries of a page", {"type": "integer", "minimum": 1, "maximum": 500})
_SINCE = _query("since", "Entries from this moment on: RFC 3339, or a date")
_USER = _query("user", "Entries of this user only")
_ACTION = _query("action", "Entries of this action only")
_LOGGED = (_SINCE, _USER, _ACTION, _CURSOR, _LIMIT)
_PROJECT = (_INDEX, _NAME)
_IF_MATCH: Final[Json] = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag of the project as the client has seen it: nothing is changed if it is another one by now",
}


def _change(summary: str, body: str, answer: str) -> Operation:
    return Operation(summary, _answer(answer), _CHANGE_ERRORS, (*_PROJECT, _IF_MATCH), _body(body))


_SEARCHED: Final = (
    _query("q", "Words, or a name; without them the newest projects"),
    _query("index", "Of this index alone; may be repeated"),
    _query("origin", "`hosted`, `drop-in` or `upstream`; may be repeated"),
    _query("since", "Projects with an upload since then: a date, or `month` or `year`"),
    _query("python", "Projects whose newest release runs on this Python, such as `3.12`"),
    _query("yanked", "`no`: without projects whose releases are all yanked; `some`: with a yanked release"),
    _query("uploader", "Projects with a file of this user"),
    _query("page", "The number of a page", {"type": "integer", "minimum": 1, "maximum": 50}),
)
SEARCH: Final = Operation(
    "Search for projects in all indexes that the sender may read", _answer("SearchPage"), (), _SEARCHED
)
SEARCH_INDEX: Final = Operation(
    "Search for projects in an index and those behind it", _answer("SearchPage"), (404,), (_INDEX, *_SEARCHED)
)
DEPENDENTS: Final = Operation(
    "The projects that need a project", _answer("DependentPage"), (404,), (*_PROJECT, _CURSOR, _LIMIT)
)
WHOAMI: Final = Operation("The sender of this request, as its credentials prove it", _answer("Sender"), (401, 429))
INDEXES: Final = Operation("The indexes that the sender may read", _answer("IndexList"), (401, 429))
CREATE_INDEX: Final = Operation(
    "Make an index", _answer("IndexChange"), (507, *_BODY_ERRORS), body=_body("NewIndexBody")
)
DELETE_INDEX: Final = Operation(
    "Delete an index", _answer("DeletedIndex"), (404, 507, *_BODY_ERRORS), (_DEFINED,), _body("DeleteIndexBody")
)
SET_INDEX: Final = Operation(
    "Change settings of an index", _answer("IndexChange"), (404, 507, *_BODY_ERRORS), (_DEFINED,), _body("IndexBody")
)
PROMOTE: Final = Operation(
    "Publish all files of a stage into the index that it is in front of, in one step",
    _answer("Promotion"),
    (*_CHANGE_ERRORS, 410),
    (_INDEX,),
    _body("PromotionBody"),
)
POLICY: Final = Operation("The policy of an index", _answer("PolicyEntry"), (404,), (_INDEX,))
SET_POLICY: Final = Operation(
    "Change the policy of an index", _answer("PolicyChange"), (404, 507, *_BODY_ERRORS), (_INDEX,), _body("PolicyBody")
)
EXPLAIN_POLICY: Final = Operation(
    "The decisions about the files of a project, or of one release",
    _answer("PolicyExplanation"),
    (404,),
    (_INDEX, _query("project", "A project, in any spelling"), _query("version", "One release of it")),
)
CONFIGURATION: Final = Operation("The state of the store as a configuration file declares it", _answer("Configuration"))
APPLY_CONFIGURATION: Final = Operation(
    "Apply a declared configuration, all of it or nothing",
    _answer("Applied"),
    (),
    (),
    _body("ConfigurationBody"),
)
SERVER: Final = Operation("The workers of the container that answers", _answer("ServerStatus"), (503,))
DOCTOR: Final = Operation("The last verdict of quire doctor on the store", _answer("LastVerdict"))
JOBS: Final = Operation("The last jobs of the store, the newest first", _answer("JobList"))
JOB: Final = Operation(
    "A job, with its progress and its result", _answer("JobEntry"), (404,), (in_path("job", _TEXT, "The id of a job"),)
)
BEGIN_JOB: Final = Operation(
    "Begin a check or a collection of garbage in a child process of the server; one of a kind runs at a time",
    _answer("JobEntry"),
    (409, 507),
    (),
    _body("JobBody"),
)
SETTINGS: Final = Operation("The settings of the server that answers, and where each was set", _answer("SettingList"))
UPSTREAMS: Final = Operation(
    "The upstreams with their health and hit rate, by the counts of the workers of the container that answers",
    _answer("UpstreamStatusList"),
    (503,),
)
RETENTION: Final = Operation(
    "A page of what the next run of quire gc would delete by rules of retention",
    _answer("RetentionPage"),
    (404,),
    (_INDEX, _query("keep", "Rules to try in place of those of the index, with commas"), _CURSOR, _LIMIT),
)
_SOURCE = in_path("source", _TEXT, "The name of a source of advisories, such as `osv`")
SOURCES: Final = Operation("The sources of advisories", _answer("AdvisorySources"))
ADVISORIES: Final = Operation(
    "The advisories of a project, or those by which a version is affected",
    _answer("ProjectAdvisories"),
    (404,),
    (_NAME, _query("version", "One version of it")),
)
UPDATE_SOURCE: Final = Operation(
    "Take in OSV documents as all that a source has, in one step: a zip archive of them, or one",
    _answer("AdvisoriesUpdated"),
    (507, *_BODY_ERRORS),
    (
        _SOURCE,
        _query("origin", "The name of the file, for people"),
        _query("shrinks", "`true`: also when it is less than half of what there was"),
    ),
    {each: {"schema": {"type": "string", "format": "binary"}} for each in ("application/zip", "application/json")},
)
REMOVE_SOURCE: Final = Operation(
    "Remove a source of advisories: they have no effect any more", _answer("AdvisoriesRemoved"), (404, 507), (_SOURCE,)
)
TRY_POLICY: Final = Operation(
    "The effect that a change of the policy would have on releases that were asked for",
    _answer("Trial"),
    (404, 502, *_BODY_ERRORS),
    (_INDEX,),
    _body("TrialBody"),
)
PROJECTS: Final = Operation("A page of the projects", _answer("ProjectPage"), (404,), (_INDEX, _CURSOR, _LIMIT))
PROJECT: Final = Operation(
    "A project with its files",
    {200: {**content("application/json", reference("ProjectDetails")), "headers": headers_of("ETag")}, 304: UNCHANGED},
    (404,),
    _PROJECT,
)
FILES: Final = Operation("The files of a project", _answer("FileList"), (404,), _PROJECT)
RELEASES: Final = Operation("The releases of a project", _answer("ReleaseList"), (404,), _PROJECT)
RELEASE: Final = Operation("A release with its metadata", _answer("Release"), (404,), (*_PROJECT, _VERSION))
OWNERS: Final = Operation("The owners of a project", _answer("Owners"), (404, 409), _PROJECT)
ADD_OWNER: Final = Operation(
    "Add an owner to a project", _answer("Owners"), (404, 409, 507, *_BODY_ERRORS), _PROJECT, _body("OwnerBody")
)
REMOVE_OWNER: Final = Operation(
    "Remove an owner from a project", _answer("Owners"), (404, 409, 507, *_BODY_ERRORS), _PROJECT, _body("OwnerBody")
)
PROJECT_LOG: Final = Operation("The changes of a project", _answer("LogPage"), (404,), (*_PROJECT, *_LOGGED))
YANK: Final = _change("Yank a release or a file (PEP 592)", "YankBody", "Yanked")
UNYANK: Final = _change("Take the yanked mark away", "Selected", "Yanked")
DELETE: Final = _change("Delete a file, a release, or a project", "DeleteBody", "Deleted")
SET_STATUS: Final = _change("Set the status of a project (PEP 792)", "StatusBody", "ProjectStatus")
LOG: Final = Operation(
    "The changes of all projects, project by project", _answer("LogPage"), (404,), (_INDEX, *_LOGGED)
)

GRANTS: Final = Operation("The grants and groups", _answer("GrantList"))
EXPLAIN: Final = Operation(
    "The rights that grants give to a subject",
    _answer("Explanation"),
    parameters=(
        {**_query("subject", "user:NAME, token:ID or anonymous"), "required": True},
        _query("index", "The name of an index (the one at the server's root)"),
        _query("project", "A project"),
    ),
)
GRANT: Final = Operation("Give a right", _answer("Granted"), (404, 507, *_BODY_ERRORS), body=_body("GrantBody"))
REVOKE_GRANTS: Final = Operation("Take grants back", _answer("Ended"), (404, 507, *_BODY_ERRORS), body=_body("IdsBody"))
GROUPS: Final = Operation("The groups", _answer("GroupList"))
SET_GROUP: Final = Operation(
    "Make a group of exactly these users", _answer("Group"), (507, *_BODY_ERRORS), (_GROUP,), _body("GroupBody")
)
TOKENS: Final = Operation("A page of the tokens", _answer("TokenList"), parameters=(_CURSOR, _LIMIT))
CREATE_TOKEN: Final = Operation("Make a token", _answer("NewToken"), (404, 507, *_BODY_ERRORS), body=_body("TokenBody"))
REVOKE_TOKENS: Final = Operation("Revoke tokens", _answer("Ended"), (404, 507, *_BODY_ERRORS), body=_body("IdsBody"))
ROTATE_TOKEN: Final = Operation(
    "Give a token a new secret", _answer("NewToken"), (404, 507, *_BODY_ERRORS), (_TOKEN,), _body("RotateBody")
)

OWN_TOKENS: Final = Operation("The tokens of the sender", _answer("AccountTokens"), (401,))
CREATE_OWN_TOKEN: Final = Operation(
    "Make a token for yourself", _answer("NewToken"), (401, 403, 507, *_BODY_ERRORS), body=_body("OwnTokenBody")
)
REVOKE_OWN_TOKENS: Final = Operation(
    "Revoke tokens of your own", _answer("Ended"), (401, 404, 507, *_BODY_ERRORS), body=_body("IdsBody")
)

CHECK_GRANTS: Final = Operation("The grants that give nothing", _answer("GrantsChecked"))
PUBLISHERS: Final = Operation(
    "A page of the trusted publishers", _answer("PublisherPage"), parameters=(_CURSOR, _LIMIT)
)
ADD_PUBLISHER: Final = Operation(
    "Trust the jobs of a workflow", _answer("NewPublisher"), (507, *_BODY_ERRORS), body=_body("PublisherBody")
)
REMOVE_PUBLISHERS: Final = Operation(
    "Trust publishers no more", _answer("Ended"), (404, 507, *_BODY_ERRORS), body=_body("IdsBody")
)
SET_AUDIENCE: Final = Operation(
    "Set the audience of tokens of jobs", _answer("Audience"), (507, *_BODY_ERRORS), body=_body("AudienceBody")
)
END_SESSIONS: Final = Operation(
    "End sessions of the web interface", _answer("SessionsEnded"), (507, *_BODY_ERRORS), body=_body("SessionsBody")
)
_IN_TRASH: Final = (
    _query("version", "Files of this version only"),
    _query("filename", "The file of this name only"),
    _query("by", "Files that this user deleted"),
    _query("before", "Files that were deleted until this moment: RFC 3339, or a date"),
    _query("since", "Files that were deleted from this moment on"),
    *(_CURSOR, _LIMIT),
)
TRASH: Final = Operation(
    "A page of the deleted files that can be restored", _answer("TrashPage"), (404,), (_INDEX, *_IN_TRASH)
)
PROJECT_TRASH: Final = Operation("Those of a project", _answer("TrashPage"), (404,), (*_PROJECT, *_IN_TRASH))
_TRASH_ERRORS: Final = (404, 409, 507, *_BODY_ERRORS)
RESTORE: Final = Operation(
    "Publish deleted files again, all or none", _answer("Restored"), _TRASH_ERRORS, _PROJECT, _body("TrashBody")
)
EMPTY_TRASH: Final = Operation(
    "Remove files from the trash for good", _answer("Emptied"), _TRASH_ERRORS, _PROJECT, _body("TrashBody")
)

_WEBHOOK = in_path("webhook", _TEXT, "The id of a webhook")
_WEBHOOK_ERRORS: Final = (404, 507, *_BODY_ERRORS)


def _of_webhook(summary: str, body: str, answer: str) -> Operation:
    return Operation(summary, _answer(answer), _WEBHOOK_ERRORS, (_WEBHOOK,), _body(body))


WEBHOOKS: Final = Operation("The webhooks", _answer("WebhookList"))
WEBHOOK: Final = Operation("A webhook", _answer("WebhookEntry"), (404,), (_WEBHOOK,))
ADD_WEBHOOK: Final = Operation("Add a webhook", _answer("NewWebhook"), _WEBHOOK_ERRORS, body=_body("WebhookBody"))
REMOVE_WEBHOOKS: Final = Operation("Remove webhooks", _answer("Ended"), _WEBHOOK_ERRORS, body=_body("IdsBody"))
ROTATE_WEBHOOK: Final = _of_webhook("Give a webhook a new secret", "WebhookSecretBody", "NewWebhook")
RESUME_WEBHOOK: Final = _of_webhook("Deliver again, and what waits at once", "NoFields", "NewWebhook")
TEST_WEBHOOK: Final = _of_webhook("Send a ping", "NoFields", "WebhookAnswer")
WEBHOOK_DELIVERIES: Final = Operation("The latest deliveries", _answer("WebhookDeliveries"), (404,), (_WEBHOOK,))
REDELIVER: Final = _of_webhook("Send events once more", "RedeliverBody", "Redelivered")
