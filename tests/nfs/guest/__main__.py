"""Run the program that a JSON file describes: {"program": module, "arguments": {...}}. Prints its report as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import structlog

# standard output is the report's
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
description = json.loads(Path(sys.argv[1]).read_text())
module = importlib.import_module(f"tests.nfs.guest.{description['program']}")
print(json.dumps(module.run(**description["arguments"])))
