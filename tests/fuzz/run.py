"""One process that reads many documents under limits, and says as JSON what became of them.

    python -m tests.fuzz.run SEED FIRST COUNT PROGRESS

PROGRESS is a file in which the number of the document stands that is being read.
"""

import collections
import json
import mmap
import re
import resource
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any, Counter, Dict, List, Optional

from annex_agent import grammar, json_document, yaml_document  # noqa: F401 - in memory before the limit is set
from annex_agent.document import UserData
from annex_agent.errors import ConfigError
from annex_agent.settings import merge
from annex_agent.userdata import parse
from tests import cases
from tests.unit.test_part_handler import HANDLER

from . import documents

LIMIT_S = 1.0  # of processor time: what else the machine does is not the document's fault
MEMORY = 64 * 1024 * 1024  # more than before the first document
_KNOB = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


class TooSlowError(BaseException):
    """No handler of an exception may keep this one."""


def check(data: bytes, handler: Any) -> "tuple[str, UserData]":
    """Read and apply one document; ``AssertionError`` for a broken promise."""
    found = parse(data)
    said = [found.kind, *found.source.problems, *found.notices]
    assert all(sentence.isprintable() and len(sentence) < 5000 for sentence in said), "a sentence is not clean"
    assert len(found.source.problems) <= 51, "too many problems"
    assert len(found.notices) <= 20, "too many notices"
    try:
        settings = merge([cases.BAKED, found.source]).settings
    except ConfigError:
        assert found.source.problems, "refused without a reason"
        return "broken", found
    finally:
        _handle(handler, data)
    assert not found.source.problems, "applied although it has problems"
    for knob in settings.condor:
        assert _KNOB.match(knob.name), "no name for a knob"
        line = f"{knob.name} = {knob.value}"
        assert len(line.splitlines()) == 1, "more than one line"
        assert line.isprintable() or not re.search(r"[\x00-\x1f\x7f-\x9f]", line), "a control character"
        assert not line.endswith("\\"), "a line that goes on"
        line.encode("utf-8")
    repr(settings).encode("utf-8")
    return ("settings" if found.is_ours else "nothing"), found


def _handle(handler: Any, data: bytes) -> None:
    handler.is_ours(data.decode("utf-8", "replace"))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def _allow(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def _ring(_number: int, _frame: Any) -> None:
    raise TooSlowError


class Tally:
    """What became of the documents."""

    def __init__(self, most: int) -> None:
        self._most = most  # address space, while a document is read
        self.outcomes: Counter[str] = collections.Counter()
        self.kinds: Counter[str] = collections.Counter()
        self.failures: List[Dict[str, Any]] = []
        self.slowest = (0.0, -1)

    def read(self, number: int, data: bytes, handler: Any) -> None:
        """Read one document and note what it was."""
        wrong: Optional[str] = None
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        _allow(self._most)
        try:
            outcome, found = check(data, handler)
            self.outcomes[outcome] += 1
            self.kinds[re.sub(r"[0-9.]+", "N", found.kind.partition(", in it")[0])] += 1
        except TooSlowError:
            wrong = f"more than {LIMIT_S:.0f} s"
        except Exception as err:
            wrong = f"{type(err).__name__}: {err}"[:500]
        finally:
            _allow(resource.RLIM_INFINITY)
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.slowest = max(self.slowest, (time.process_time() - began, number))
        if wrong:
            self.failures.append({"number": number, "what": wrong})


def main(seed: int, first: int, count: int, progress: Path) -> None:
    """Read the documents and print the tally."""
    known, handler = documents.corpus(), HANDLER
    signal.signal(signal.SIGPROF, _ring)
    for number in range(len(known)):  # what is loaded late is loaded now
        check(known[number], handler)
    tally = Tally(_address_space() + MEMORY)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with progress.open("r+b") as file, mmap.mmap(file.fileno(), 8) as place:
        for number in range(first, first + count):
            place[:8] = struct.pack("<q", number)
            tally.read(number, documents.document(known, seed, number), handler)
            if len(tally.failures) >= 20:
                break
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "documents": sum(tally.outcomes.values()) + len(tally.failures),
        "outcomes": tally.outcomes,
        "kinds": tally.kinds,
        "failures": tally.failures,
        "slowest": tally.slowest,
        "peak_kib": after,
        "growth_kib": after - before,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
