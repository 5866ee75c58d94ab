"""Documents as typed objects: JSON, or what it was parsed to, checked against a type.

Theory of operation. msgspec finds out at the first use of a type how its fields are read, and keeps that at the class.
Two threads that use the same type for the first time at once can meet this half done, and the process ends with a
segmentation fault (seen with msgspec 0.22). So the first use of each type is here, one at a time: under a lock a
decoder is made, which finds out everything about the type and the types of its fields. From then on all threads read
only. No other module of quire gives a type to msgspec within a function; a test of the architecture looks for it.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

_lock = Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


@overload
def decoder(kind: type[T]) -> msgspec.json.Decoder[T]: ...
@overload
def decoder(kind: Any) -> msgspec.json.Decoder[Any]: ...
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The one decoder of JSON for this type. Threads may use it at once."""
    found = _decoders.get(kind)
    if found is None:
        with _lock:
            found = _decoders.get(kind)
            if found is None:
                found = _decoders[kind] = msgspec.json.Decoder(kind)
    return found


@overload
def decode_as(data: bytes | bytearray | str, kind: type[T]) -> T: ...
@overload
def decode_as(data: bytes | bytearray | str, kind: Any) -> Any: ...
def decode_as(data: bytes | bytearray | str, kind: Any) -> Any:
    """JSON as a value of this type. Raises msgspec.DecodeError, its ValidationError where the value is of another type,
    UnicodeDecodeError."""
    return (_decoders.get(kind) or decoder(kind)).decode(data)


@overload
def convert_to(value: object, kind: type[T], *, from_attributes: bool = False) -> T: ...
@overload
def convert_to(value: object, kind: Any, *, from_attributes: bool = False) -> Any: ...
def convert_to(value: object, kind: Any, *, from_attributes: bool = False) -> Any:
    """A value that JSON was parsed to, or with `from_attributes` an object, as a value of this type. Raises
    msgspec.ValidationError."""
    # the first object that stands for this type: of each new `str | None`, Python 3.14 and msgspec 0.22 lose 64 bytes
    kept = (_decoders.get(kind) or decoder(kind)).type
    return msgspec.convert(value, kept, from_attributes=from_attributes)
