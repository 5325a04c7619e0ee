"""``python -m tests.bench``: print every row that this machine can measure."""

import argparse
import os
import sys
from itertools import chain

from . import bootstrap, dry_run, watch


def main() -> int:
    """Print the rows as they come."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--watch", type=float, default=60.0, metavar="SECONDS", help="how long the watch is looked at (default: 60)"
    )
    options = parser.parse_args()
    print("ratio of medians, measured by turns in this run", flush=True)
    for row in chain(dry_run.rows(), bootstrap.rows(), watch.polls()):
        print(row, flush=True)
    if os.geteuid() != 0:
        print("the rows of the region need root: sudo make bench")
        return 0
    from . import join  # noqa: PLC0415 - it needs what only root can use

    for row in chain(watch.rows(options.watch), join.rows()):
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
