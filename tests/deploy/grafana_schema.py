"""The structure of a Grafana dashboard as a JSON schema: what Grafana's page "Dashboard JSON model" says of each field.

Where that page is silent (panels, their queries and units), it is the fields that Grafana's own export writes. A field
that is not listed is an error here, though Grafana ignores it: it is a misspelt one.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

Schema = dict[str, Any]


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these fields and no others."""
    fields = required | (optional or {})
    return {"type": "object", "properties": fields, "required": sorted(required), "additionalProperties": False}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


_TEXT: Schema = {"type": "string", "minLength": 1}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_LENGTH: Schema = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}
_MOMENT: Schema = {"type": "string", "pattern": "^now(-[0-9]+[smhdwMy])?$"}
_SOURCE = _object({"type": {"const": "prometheus"}, "uid": {"const": "${source}"}})
_PLACE = _object(
    {
        "x": {"type": "integer", "minimum": 0, "maximum": 23},
        "y": _COUNT,
        "w": {"type": "integer", "minimum": 1, "maximum": 24},
        "h": {"type": "integer", "minimum": 1},
    }
)
_QUERY = _object(
    {"refId": {"type": "string", "pattern": "^[A-Z]$"}, "datasource": _SOURCE, "expr": _TEXT},
    {
        "legendFormat": {"type": "string"},
        "editorMode": {"enum": ["code", "builder"]},
        "range": _FLAG,
        "instant": _FLAG,
        "format": {"enum": ["time_series", "table", "heatmap"]},
        "hide": _FLAG,
        "interval": _LENGTH,
    },
)
_FIELDS = _object(
    {
        "defaults": _object(
            {}, {"unit": _TEXT, "min": _NUMBER, "max": _NUMBER, "decimals": _COUNT, "custom": {"type": "object"}}
        ),
        "overrides": _list({"type": "object"}),
    }
)
_LEGEND = _object(
    {"displayMode": {"enum": ["list", "table"]}, "placement": {"enum": ["bottom", "right"]}, "showLegend": _FLAG},
    {"calcs": _list(_TEXT)},
)
_TOOLTIP = _object({"mode": {"enum": ["single", "multi", "none"]}, "sort": {"enum": ["none", "asc", "desc"]}})
_PANEL = _object(
    {
        "id": {"type": "integer", "minimum": 1},
        "type": {"const": "timeseries"},
        "title": _TEXT,
        "datasource": _SOURCE,
        "gridPos": _PLACE,
        "fieldConfig": _FIELDS,
        "options": _object({"legend": _LEGEND, "tooltip": _TOOLTIP}),
        "targets": _list(_QUERY, minItems=1),
    },
    {"description": _TEXT},
)
_VARIABLE = _object(
    {
        "name": {"type": "string", "pattern": "^\\w+$"},
        "type": {"enum": ["datasource", "query", "textbox"]},
        "query": _TEXT,
        "hide": {"enum": [0, 1, 2]},
        "refresh": {"enum": [0, 1, 2]},
        "current": {"type": "object"},
        "options": _list({"type": "object"}),
    },
    {"label": _TEXT, "datasource": _SOURCE, "includeAll": _FLAG, "multi": _FLAG},
)
DASHBOARD = _object(
    {
        "uid": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,40}$"},
        "title": _TEXT,
        "tags": _list(_TEXT),
        "timezone": {"enum": ["browser", "utc"]},
        "editable": _FLAG,
        "graphTooltip": {"enum": [0, 1, 2]},
        "time": _object({"from": _MOMENT, "to": _MOMENT}),
        "refresh": _LENGTH,
        "schemaVersion": {"type": "integer", "minimum": 17},
        "version": _COUNT,
        "templating": _object({"list": _list(_VARIABLE)}),
        "annotations": _object({"list": _list({"type": "object"})}),
        "links": _list({"type": "object"}),
        "panels": _list(_PANEL, minItems=1),
    },
    {"id": {"type": "null"}, "description": _TEXT, "timepicker": {"type": "object"}},
)


def slips(dashboard: Schema) -> list[str]:
    """The errors in it, each with its place; empty without one."""
    errors = jsonschema_rs.Draft202012Validator(DASHBOARD).iter_errors(dashboard)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]
