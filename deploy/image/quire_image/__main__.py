"""The image's entry point: quire with the container's arguments, after a look at what the container was given.

Everything that is told here is one line on standard error and exit code 2, as quire's own errors are.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from quire import cli
from quire.config.resolving import resolve
from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError
from quire_image import credentials, private, volumes
from quire_image.health import NOTE

PASSWORD_FILE = "htpasswd"  # noqa: S105 - the name of a file
_NOT_FOR_RUN = {"-h", "--help", "--version"}


def main(arguments: Sequence[str]) -> int:
    """Prepare, then be quire; its exit code."""
    command = complete(arguments)
    try:
        command = prepare(command)
    except ConfigurationError as error:
        print(f"quire: error: {error}", file=sys.stderr)
        return 2
    for name in credentials.VARIABLES:
        os.environ.pop(name, None)  # no worker, and nothing that a worker starts, needs them
    # the command of a server that starts itself again
    sys.argv = [str(Path(sys.executable).with_name("quire")), *command]
    return cli.main(command)


def complete(arguments: Sequence[str]) -> list[str]:
    """quire's command line: without arguments, or with nothing but flags, it is `run`, as in pypiserver's image."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in _NOT_FOR_RUN):
        return ["run", *arguments]
    return list(arguments)


def prepare(command: Sequence[str]) -> list[str]:
    """The command line, with the password file put in that the environment stands for. Raises ConfigurationError."""
    folder = private.make(os.environ)
    if "TMPDIR" not in os.environ and (temporary := private.writable_temporary_folder(os.environ)) is not None:
        os.environ["TMPDIR"] = temporary  # or Python might take the working directory, which is a volume
    parser, _ = cli.make_parser()
    parsed = parser.parse_args(command)
    if parsed.command not in {"run", "serve"}:
        return list(command)
    volumes.check_home()
    settings = _settings(parsed, os.environ)
    if settings is None:
        return list(command)
    if credentials.given(os.environ):
        if not settings.authenticate:
            _say("The login in the environment is not used: '-a . -P .' turns logins off.")
        elif settings.passwords is not None and os.path.exists(settings.passwords):
            _say(f"The login in the environment is not used: the password file {settings.passwords} exists.")
        else:
            command = with_password_file(command, _write_password_file(folder))
            settings = _settings(parser.parse_args(command), os.environ) or settings
    volumes.check(settings)
    _leave_note(folder, settings)
    return list(command)


def _settings(parsed: argparse.Namespace, environ: Mapping[str, str]) -> Settings | None:
    """The settings that quire will find; None when it will refuse them, in its own words."""
    flags = vars(parsed) | {"directories": parsed.directories or None}
    try:
        return resolve(flags, environ, parsed.setting_defaults, parsed.config)
    except ConfigurationError:
        return None


def _write_password_file(folder: Path | None) -> Path:
    content = credentials.htpasswd(os.environ)
    try:
        if folder is not None:
            return private.write(folder, PASSWORD_FILE, content)
    except OSError as error:
        raise ConfigurationError(f"The password file cannot be written to {folder} ({error.strerror}).") from error
    raise ConfigurationError(
        f"The password file cannot be written: none of {', '.join(private.temporary_folders(os.environ))} is writable; "
        "mount a tmpfs at /tmp."
    )


def with_password_file(command: Sequence[str], file: Path) -> list[str]:
    """The command line with another `-P` at its end, which is the one that counts; flags end at a `--`."""
    end = command.index("--") if "--" in command else len(command)
    return [*command[:end], "-P", str(file), *command[end:]]


def _leave_note(folder: Path | None, settings: Settings) -> None:
    """Tell the health check where to ask. Without a place for the note it asks where quire listens by default."""
    if folder is None:
        return
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    private.write(folder, NOTE, f"{host}\n{settings.port}\n{settings.server_base_url}{settings.health_endpoint}\n")


def _say(sentence: str) -> None:
    print(f"quire: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
