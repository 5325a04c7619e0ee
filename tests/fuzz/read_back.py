"""Whether HTCondor's own parser reads our lines as they were meant: python -m tests.fuzz.read_back [COUNT].

It needs HTCondor's Python bindings, which nothing else here does: .venv-test/bin/pip install htcondor
"""

import importlib
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Dict, List

from annex_agent.userdata import parse

from . import documents

_LETTERS = "ab1 \t\"'#$()[]{}<>@=:;,\\|&*!~`%^+-./?\u00e9\u20ac\u00a0\u3000\u200b\u202e\U0001f600"


def main(count: int) -> int:
    """Read ``count`` documents, write every knob that is accepted into one file, and have HTCondor read it."""
    wanted = _accepted(count)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "condor_config"
        file.write_text("".join(f"{name} = {value}\n" for name, value in wanted.items()), encoding="utf-8")
        os.environ["CONDOR_CONFIG"] = str(file)
        read = importlib.import_module("htcondor2").param
        found = {name: str(read[name]) if name in read else "" for name in wanted}
    wrong = [
        f"{wanted[name]!r} is read as {found[name]!r}" for name in wanted if not _is_same(wanted[name], found[name])
    ]
    print(f"{len(wanted)} knobs, {len(wrong)} of them read otherwise", *wrong[:20], sep="\n")
    return 1 if wrong else 0


def _accepted(count: int) -> Dict[str, str]:
    known, chance = documents.corpus(), random.Random(count)
    values: List[str] = []
    for number in range(count):
        letters = "".join(chance.choice(_LETTERS) for _ in range(chance.randrange(25)))
        for data in (documents.document(known, count, number), f"K = {letters}\n".encode()):
            source = parse(data).source
            if not source.problems:
                values += [knob.value for knob in source.knobs if "$" not in knob.value]  # HTCondor would expand it
    return {f"ANNEX_{number}": value for number, value in enumerate(values)}


def _is_same(written: str, read: str) -> bool:
    """HTCondor's bindings give truth and numbers as such."""
    return written == read or written.lower() == read.lower() or _number(written) == _number(read) is not None


def _number(text: str) -> "float | None":
    try:
        return float(text)
    except ValueError:
        return None


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
