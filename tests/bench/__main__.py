"""``python -m tests.bench``: print every row that this machine can measure."""

import os
import sys
from itertools import chain

from . import bootstrap, dry_run


def main() -> int:
    """Print the rows as they come."""
    print("ratio of medians, measured by turns in this run", flush=True)
    for row in chain(dry_run.rows(), bootstrap.rows()):
        print(row, flush=True)
    if os.geteuid() != 0:
        print("the rows of the region need root: sudo make bench")
        return 0
    from . import join  # noqa: PLC0415 - it needs what only root can use

    for row in join.rows():
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
