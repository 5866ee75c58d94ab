"""The values that settings take: from the text or TOML that a person wrote to checked, canonical Python.

Each parser takes the value of a flag, an environment variable (text) or quire.toml (text, number, boolean, list), and
raises ValueError whose message completes the sentence "<source>: ...".
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

from quire.domain.errors import ConfigurationError
from quire.domain.reserved import STORE_WIDE, normalize_pattern
from quire.domain.sizes import UNITS
from quire.domain.trash import is_trash
from quire.store.opening import has_scheme, is_directory, parse_place

Raw = object
"""A value as its source gives it."""

_TRUE = {"1", "y", "yes", "t", "true", "on"}
_FALSE = {"0", "n", "no", "f", "false", "off"}
_RATE = re.compile(r"([0-9]{1,7})/([ms])")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)

ACTIONS = ("download", "list", "update")
"""The actions that can be made to need a login, by pypiserver's names."""


def text(raw: Raw) -> str:
    """Any text but an empty one."""
    if not isinstance(raw, str):
        raise ValueError(f"{raw!r} is not text")  # noqa: TRY004 - one class of error for every bad value
    if not raw.strip():
        raise ValueError("the value is empty")
    if "\0" in raw:
        raise ValueError("the value holds a NUL")
    return raw


def boolean(raw: Raw) -> bool:
    """True or false, or one of the words that mean it."""
    if isinstance(raw, bool):
        return raw
    word = str(raw).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"{raw!r} is neither true nor false")


def integer(lowest: int, highest: int | None = None) -> Callable[[Raw], int]:
    """A parser of whole numbers from `lowest` to `highest`, both included; no upper limit when None."""
    bounds = f"at least {lowest}" if highest is None else f"from {lowest} to {highest}"

    def parse(raw: Raw) -> int:
        digits = str(raw).strip()
        if isinstance(raw, bool) or not re.fullmatch(r"[+-]?[0-9]{1,18}", digits):
            raise ValueError(f"{raw!r} is not a whole number")
        number = int(digits)
        if number < lowest or (highest is not None and number > highest):
            raise ValueError(f"{number} is out of range; it must be {bounds}")
        return number

    return parse


def _number(raw: Raw) -> float:
    """The number; NaN, which is in no range, for a value that is none."""
    try:
        return math.nan if isinstance(raw, bool) else float(str(raw))
    except ValueError:
        return math.nan


def seconds(raw: Raw) -> float:
    """A positive number of seconds."""
    number = _number(raw)
    if not (0 < number < math.inf):
        raise ValueError(f"{raw!r} is not a positive number of seconds")
    return number


def fraction(highest: float) -> Callable[[Raw], float]:
    """A parser of numbers from 0 to `highest`, both included."""

    def parse(raw: Raw) -> float:
        number = _number(raw)
        if not 0 <= number <= highest:
            raise ValueError(f"{raw!r} is not a number from 0 to {highest:g}")
        return number

    return parse


def tick(raw: Raw) -> float:
    """A number of seconds that every change may wait for: positive, and 10 at the most."""
    number = seconds(raw)
    if number > 10:
        raise ValueError(f"{raw!r} is more than 10 seconds; 20 milliseconds are 0.02")
    return number


def rate(raw: Raw) -> int:
    """Requests a minute: `600/m`, `10/s`; 0 for `none`."""
    text = "" if isinstance(raw, bool) else str(raw).strip().lower()
    if text == "none":
        return 0
    match = _RATE.fullmatch(text)
    number = int(match[1]) * (60 if match[2] == "s" else 1) if match else 0
    if not 1 <= number <= 1_000_000:
        raise ValueError(f"{raw!r} is not a number of requests; write 600/m (a minute), 10/s (a second) or none")
    return number


def size(raw: Raw) -> int:
    """A positive number of bytes: `1048576`, `500M`, `2G`, `2GiB`; units are powers of 1024."""
    match = None if isinstance(raw, bool) else _SIZE.fullmatch(str(raw).strip())
    number = float(match[1]) * UNITS[match[2].lower()] if match else 0
    if not (1 <= number < 2**62):
        raise ValueError(f"{raw!r} is not a size; write bytes, or a number with K, M, G or T such as 500M or 2G")
    return int(number)


def one_of(*choices: str) -> Callable[[Raw], str]:
    """A parser of one word of `choices`, in any case."""

    def parse(raw: Raw) -> str:
        word = text(raw).strip().lower()
        if word not in choices:
            raise ValueError(f"{raw!r} is none of {', '.join(choices)}")
        return word

    return parse


def path(raw: Raw) -> str:
    """A path, made absolute at once: servers may change their working directory before they use it."""
    try:
        return str(Path(text(raw)).expanduser().absolute())
    except RuntimeError as error:  # `~user` without a home
        raise ValueError(f"{raw!r}: {error}") from None


IMAGES = (".svg", ".png", ".jpg", ".jpeg", ".webp")
"""The suffixes of images that browsers show."""


def image(raw: Raw) -> str:
    """The path of an image."""
    found = path(raw)
    if not found.lower().endswith(IMAGES):
        raise ValueError(f"{raw!r} is no image that browsers show; its name ends in {', '.join(IMAGES)}")
    return found


def color(raw: Raw) -> str:
    """A colour as `#rrggbb`."""
    found = text(raw).strip().lower()
    if not re.fullmatch("#[0-9a-f]{6}", found):
        raise ValueError(f"{raw!r} is no colour; give red, green and blue as #rrggbb, e.g. #2f4a9e")
    return found


def places(raw: Raw) -> tuple[str, ...]:
    """A list of directories, of which the first may be another place for a store; or text: one URL, or paths with the
    system's separator between them."""
    if isinstance(raw, list | tuple):
        found = list(raw)
    else:
        found = [text(raw)] if has_scheme(text(raw)) else text(raw).split(os.pathsep)
    if not found:
        raise ValueError("it names no directory")
    try:
        parsed = [parse_place(text(item)) for item in found]
    except ConfigurationError as error:
        raise ValueError(str(error).removesuffix(".")) from None
    if not all(map(is_directory, parsed[1:])):
        raise ValueError("only the first place can be a store; name directories after it")
    return tuple(path(place) if is_directory(place) else place for place in parsed)


def folders(raw: Raw) -> tuple[str, ...]:
    """Directories: a list, or text with the system's separator between them; each item of a list is one path."""
    found = [text(item) for item in (raw if isinstance(raw, list | tuple) else text(raw).split(os.pathsep))]
    if any(map(has_scheme, found)) or (isinstance(raw, str) and has_scheme(raw)):
        raise ValueError(f"{raw!r} is no directory; drop-in files are in directories alone")
    return tuple(map(path, found))


def words(raw: Raw) -> list[str]:
    """The items of a list, or of text with commas between them."""
    items = raw if isinstance(raw, list | tuple) else str(raw).split(",")
    return [str(item).strip() for item in items]


def name_patterns(raw: Raw) -> tuple[str, ...]:
    """Patterns of project names: text with commas between them, or a list of such."""
    items = [word for item in raw for word in words(item)] if isinstance(raw, list | tuple) else words(raw)
    return tuple(dict.fromkeys(normalize_pattern(item) for item in items if item))


def actions(raw: Raw) -> tuple[str, ...]:
    """The actions that need a login; `.` alone means none."""
    found = sorted({word.lower() for word in words(raw)})
    if found == ["."]:
        return ()
    if "." in found:
        raise ValueError("'.' (no authentication) must stand alone")
    if not found or any(word not in ACTIONS for word in found):
        raise ValueError(f"{raw!r} is no list of actions; use download, list and update with commas, or '.' for none")
    return tuple(found)


def password_file(raw: Raw) -> str:
    """The absolute path of an htpasswd file, or `.` itself."""
    return "." if raw == "." else path(raw)


def hash_algorithm(raw: Raw) -> str | None:
    """A hashlib algorithm whose digest can be put into a URL's fragment; None when switched off."""
    name = str(raw).strip()
    if name.lower() in _FALSE:
        return None
    if name in hashlib.algorithms_available:
        try:
            # digest_size is 0 for the shake family: their digests have no length of their own
            if hashlib.new(name, usedforsecurity=False).digest_size:
                return name
        except ValueError:  # listed by OpenSSL, but refused by its policy
            pass
    raise ValueError(f"{raw!r} is no usable hash algorithm; take sha256, another one of hashlib's, or 'off'")


def line(raw: Raw) -> str:
    """One line of text."""
    found = text(raw).strip()
    if not found.isprintable() or len(found) > 500:
        raise ValueError(f"{raw!r} is not one line of text")
    return found


def index_name(raw: Raw) -> str:
    """The name of an index, which is a folder in the store."""
    name = text(raw)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", name):
        raise ValueError(f"{raw!r} is no index name; use up to 100 lower-case letters, digits, '-' and '_'")
    if is_trash(name):
        raise ValueError(f"{raw!r} is where the trash of an index is kept; choose another name")
    if name in STORE_WIDE:
        raise ValueError(f"{raw!r} cannot be the name of an index: the store keeps its grants and tokens there")
    return name


def log_format(raw: Raw) -> str:
    """A %-format of logging's LogRecord attributes."""
    try:
        logging.Formatter(str(raw)).format(logging.LogRecord("", 0, "", 0, "", None, None))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{raw!r} is no logging format ({error})") from None
    return str(raw)


def message_format(raw: Raw) -> str:
    """A %-format of a request's, response's or error's properties."""
    try:
        str(raw) % Anything()
    except (ValueError, TypeError) as error:
        raise ValueError(f"{raw!r} is no %-format ({error})") from None
    return str(raw)


class Anything(dict[str, object]):
    """A mapping that has a `-` for every key it lacks."""

    def __missing__(self, key: str) -> str:
        return "-"
