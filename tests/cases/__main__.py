"""Write what is expected of every case as it is now, for review as a diff: python -m tests.cases."""

from . import document, expect, names, outcome

for name in names():
    expect(name, outcome(document(name)))
