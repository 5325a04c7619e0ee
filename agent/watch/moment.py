"""Points in time, for people: what is announced and logged is in UTC, as EC2's own words are."""

import time

_DAY_S = 86400.0


def clock_time(moment: float, now: float) -> str:
    """``12:34:56 UTC``, with the date where that is not near."""
    is_near = abs(moment - now) < _DAY_S / 2
    return time.strftime("%H:%M:%S UTC" if is_near else "%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def duration(seconds: float) -> str:
    """``90 s``, ``5 min``, ``1 h 20 min``: the two largest units that matter."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
