"""What all tests share: hypothesis draws the same examples at every run, and measures no time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long value by its parameter, with a number where there are several.

    Archives hold the time of day, and test processes that run side by side must agree on the name of every test.
    """
    return argname if isinstance(val, bytes | str) and len(val) > 80 else None
