#!/usr/bin/env python3
"""The cost of a month of an index on S3 and on EFS: the tables of docs/bucket.md.

Put your own figures into TEAMS and PRICES; then `scripts/bucket_cost.py` prints the tables, and `--write` puts them
into the page. A month has 30 days, 21 of them working days. Nothing is rounded before it is printed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "bucket.md"
MARKS = ("<!-- costs -->\n", "<!-- end -->")

PRICES = {
    "S3: 1,000 GET": 0.0004,
    "S3: 1,000 PUT or LIST": 0.005,
    "S3: a GB for a month": 0.023,
    "EFS: a GB for a month": 0.30,
    "EFS: a GB for a month, infrequent access": 0.025,
    "EFS: a GB read, elastic throughput": 0.03,
    "EFS: a GB written, elastic throughput": 0.06,
    "AWS Backup: a GB of EFS for a month": 0.05,
}
"""US dollars, in us-east-1. Taxes, savings plans and free tiers are left out."""

GET_PER_PAGE, GET_PER_DOWNLOAD, GET_PER_PUBLICATION, PUT_PER_PUBLICATION, GET_PER_PROBE = 2, 3, 2, 3, 1
"""Requests to the bucket; the table of requests in the same page has them."""
GET_FOR_GRANTS = 1
"""Those of them that `--rights settings` saves, of a page, a download and a publication each."""
LOOKS = 60 * 24 * 30 / 0.75
"""In a month, of one worker with `--rights settings`: whether the store has grants, each 45 seconds on average."""
EFS_PER_PAGE, EFS_PER_PROBE = 3, 3
"""Round trips to the volume, each metered as 4 KiB."""
GET_PER_BACKUP, GET_PER_PROJECT_IN_BACKUP, PUT_OR_LIST_PER_BACKUP = 11, 6, 14
"""Of `quire backup` into another bucket without a change; a list has 1,000 objects."""
GET_PER_NEW_FILE_IN_BACKUP, PUT_PER_NEW_FILE_IN_BACKUP, OBJECTS_PER_FILE = 6, 3, 3
"""More for each file since the last one; each is an object, and so are its metadata and the record."""
PROBES = 2 * 6 * 60 * 24 * 30
"""In a month, of one task: two nodes of a load balancer ask for /ready every ten seconds."""


@dataclass(frozen=True)
class Team:
    """How an index is used in a month."""

    people: int
    stored_gb: float
    tasks: int
    projects: int
    workers: int = 2
    """Of a task."""
    installs: int = 20
    """Of a person and working day, those of their CI jobs included."""
    pages: int = 5
    """Of an install, that reach the index."""
    downloads: int = 1
    """Of an install; the rest is in caches."""
    publications: int = 2
    """Files of a person and working day."""
    file_mb: float = 1.0
    hot: float = 0.2
    """The share of the bytes on EFS that is read within 30 days, and so stays out of infrequent access."""

    def monthly(self, each: float) -> float:
        return self.people * 21 * each


TEAMS = (
    Team(people=50, stored_gb=50, tasks=2, projects=100),
    Team(people=5000, stored_gb=5000, tasks=8, projects=5000),
)


def quantities(team: Team) -> dict[str, float]:
    """Requests of clients in a month, and of health checks."""
    installs = team.monthly(team.installs)
    return {
        "pages": installs * team.pages,
        "downloads": installs * team.downloads,
        "publications": team.monthly(team.publications),
        "probes": PROBES * team.tasks,
    }


def s3(team: Team, *, grants: bool = True) -> dict[str, float]:
    """Dollars by purpose. Traffic between S3 and servers in the same region costs nothing. `grants`: False with
    `--rights settings`."""
    found = quantities(team)
    gets = found["pages"] * GET_PER_PAGE + found["downloads"] * GET_PER_DOWNLOAD + found["probes"] * GET_PER_PROBE
    gets += found["publications"] * GET_PER_PUBLICATION
    if not grants:
        gets -= GET_FOR_GRANTS * (found["pages"] + found["downloads"] + found["publications"])
        gets += LOOKS * team.tasks * team.workers
    puts = found["publications"] * PUT_PER_PUBLICATION
    return {
        "requests": gets / 1000 * PRICES["S3: 1,000 GET"] + puts / 1000 * PRICES["S3: 1,000 PUT or LIST"],
        "transfer": 0.0,
        "storage": team.stored_gb * PRICES["S3: a GB for a month"],
        "backup": 0.05 * team.stored_gb * PRICES["S3: a GB for a month"],
    }


def nightly(team: Team) -> float:
    """Dollars for 30 runs of `quire backup` into another bucket of S3, and for one copy of all bytes there."""
    new = team.monthly(team.publications)
    objects = team.stored_gb * 1000 / team.file_mb * OBJECTS_PER_FILE
    gets = 30 * (GET_PER_BACKUP + GET_PER_PROJECT_IN_BACKUP * team.projects) + new * GET_PER_NEW_FILE_IN_BACKUP
    puts = 30 * (PUT_OR_LIST_PER_BACKUP + objects / 1000) + new * PUT_PER_NEW_FILE_IN_BACKUP
    requests = gets / 1000 * PRICES["S3: 1,000 GET"] + puts / 1000 * PRICES["S3: 1,000 PUT or LIST"]
    return requests + team.stored_gb * PRICES["S3: a GB for a month"]


def efs(team: Team) -> dict[str, float]:
    """Dollars by purpose."""
    found = quantities(team)
    metadata = (found["pages"] * EFS_PER_PAGE + found["probes"] * EFS_PER_PROBE) * 4096 / 1e9
    read, written = (found[name] * team.file_mb / 1000 for name in ("downloads", "publications"))
    cold = PRICES["EFS: a GB for a month, infrequent access"]
    transfer = read * PRICES["EFS: a GB read, elastic throughput"]
    return {
        "requests": metadata * PRICES["EFS: a GB read, elastic throughput"],
        "transfer": transfer + written * PRICES["EFS: a GB written, elastic throughput"],
        "storage": team.stored_gb * (team.hot * PRICES["EFS: a GB for a month"] + (1 - team.hot) * cold),
        "backup": team.stored_gb * PRICES["AWS Backup: a GB of EFS for a month"],
    }


def tables() -> str:
    """The text of the page between MARKS."""
    lines = ["| | a team of 50 | a team of 5,000 |", "|---|---|---|"]
    uses = [quantities(team) for team in TEAMS]
    lines += [f"| {name} | {' | '.join(f'{use[name]:,.0f}' for use in uses)} |" for name in uses[0]]
    lines.append(f"| projects | {' | '.join(f'{team.projects:,.0f}' for team in TEAMS)} |")
    lines += [f"| GB stored | {' | '.join(f'{team.stored_gb:,.0f}' for team in TEAMS)} |", ""]
    kinds = ("S3", "S3, `--rights settings`", "EFS")
    heads = [f"{kind}, {team.people:,}" for team in TEAMS for kind in kinds]
    lines += [f"| US dollars a month | {' | '.join(heads)} |", "|---|---|---|---|---|---|---|"]
    columns = [bill for team in TEAMS for bill in (s3(team), s3(team, grants=False), efs(team))]
    lines += [f"| {name} | {' | '.join(f'{column[name]:,.2f}' for column in columns)} |" for name in columns[0]]
    lines.append(f"| **all** | {' | '.join(f'**{sum(column.values()):,.2f}**' for column in columns)} |")
    backups = [f"{nightly(team):,.2f}" for team in TEAMS for _ in kinds]
    lines.append(f"| besides, `quire backup` every night into another bucket of S3 | {' | '.join(backups)} |")
    lines += ["", "| Price | US dollars |", "|---|---|", *(f"| {name} | {price:g} |" for name, price in PRICES.items())]
    return "\n".join(lines) + "\n"


def rewritten(page: str) -> str:
    """The page with the tables of today."""
    before, _, rest = page.partition(MARKS[0])
    return f"{before}{MARKS[0]}{tables()}{MARKS[1]}{rest.partition(MARKS[1])[2]}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(rewritten(PAGE.read_text()))
    else:
        print(tables(), end="")
