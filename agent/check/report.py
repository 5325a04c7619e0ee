"""The answer: for a person a line a finding, for programs JSON."""

import json
from typing import List, Sequence

from .finding import VERDICTS, Finding, overall


def as_text(findings: Sequence[Finding]) -> str:
    """Aligned, each remedy below what it is for, and how many there are of each verdict at the end."""
    width = max((len(finding.name) for finding in findings), default=0)
    indent = max(map(len, VERDICTS)) + 2
    lines: List[str] = []
    for name, verdict, words, remedy in findings:
        lines.append(f"{verdict:<{indent}}{name:<{width}}  {_printable(words)}")
        lines += [f"{'':{indent + width}}    {_printable(remedy)}"] if remedy else []
    counts = {verdict: sum(finding.verdict == verdict for finding in findings) for verdict in VERDICTS}
    return "\n".join([*lines, f"{counts['ok']} ok, {_count(counts, 'warning')}, {_count(counts, 'problem')}"])


def as_json(findings: Sequence[Finding]) -> str:
    """``overall``, the worst verdict, and ``findings``: objects of name, verdict, words and remedy."""
    return json.dumps({"overall": overall(findings), "findings": [each._asdict() for each in findings]}, indent=1)


def _printable(words: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(words.split()))


def _count(counts: "dict[str, int]", verdict: str) -> str:
    return f"{counts[verdict]} {verdict}{'' if counts[verdict] == 1 else 's'}"
