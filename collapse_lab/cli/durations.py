"""Say times as a person says them."""


def duration(seconds: float | None, unknown: str = "") -> str:
    """Return seconds in words, such as `90 s`, `75 min` or `2.5 h`; `unknown` for None."""
    if seconds is None:
        return unknown
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
