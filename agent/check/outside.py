"""What is asked beyond files and commands: the name service, other hosts' ports, the kernel's clock."""

import ctypes
import os
import socket
import threading
import time
from typing import List, NamedTuple, Optional, Sequence, Tuple

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES = 1024  # struct timex is a quarter of that


class Lookup(NamedTuple):
    """A name's addresses; without any, the resolver's words, and whether they may be others in a moment."""

    addresses: Tuple[str, ...]
    complaint: str = ""
    is_temporary: bool = False
    seconds: float = 0.0


class Outside:
    """Everything here ends in the time that it is given."""

    def look_up(self, name: str, timeout_s: float) -> Lookup:
        """A host name's addresses, as HTCondor asks for them."""
        found: List[Lookup] = []
        # The resolver knows no deadline; what it still does when the time is up ends with this process.
        thread = threading.Thread(target=lambda: found.append(_look_up(name)), daemon=True)
        began = time.monotonic()
        thread.start()
        thread.join(timeout_s)
        seconds = time.monotonic() - began
        if not found:
            return Lookup((), f"no answer within {timeout_s:g} s", is_temporary=True, seconds=seconds)
        return found[0]._replace(seconds=seconds)

    def refusal(self, addresses: Sequence[str], port: int, timeout_s: float) -> Optional[OSError]:
        """Why none of the addresses accepts a TCP connection; None where one does."""
        refusal: Optional[OSError] = None
        for address in addresses:
            try:
                socket.create_connection((address, port), timeout_s / len(addresses)).close()
            except OSError as err:
                refusal = err
            else:
                return None
        return refusal

    def clock_is_synchronized(self) -> Optional[bool]:
        """Whether something keeps the kernel's clock to the world's time; None where that cannot be told.

        Zero as the kernel's ``modes`` asks for nothing to be changed (adjtimex(2)).
        """
        try:
            state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        except (OSError, AttributeError):
            return None
        return bool(state != _TIME_ERROR) if state >= 0 else None

    def now(self) -> float:
        """Seconds since the epoch, as this machine has them."""
        return time.time()

    @property
    def is_root(self) -> bool:
        """Whether nothing is hidden from us."""
        return os.geteuid() == 0


def _look_up(name: str) -> Lookup:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as err:
        return Lookup((), str(err.strerror).lower(), is_temporary=err.errno == socket.EAI_AGAIN)
    except (OSError, UnicodeError) as err:
        return Lookup((), str(err))
    return Lookup(tuple(dict.fromkeys(str(info[4][0]) for info in found)))
