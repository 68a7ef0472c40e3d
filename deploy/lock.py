"""Write the lock files of deploy/locks anew; with --upgrade, to the newest versions allowed."""

from __future__ import annotations

import argparse
import sys

from installation.checkout import EXIT_CODE, SetupProblem
from installation.locks import write_locks


def main() -> int:
    """Write the locks; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that pyproject.toml allows")
    try:
        write_locks(upgrade=parser.parse_args().upgrade)
    except SetupProblem as problem:
        print(problem, file=sys.stderr)
        return EXIT_CODE
    print("Written to deploy/locks; run `make setup` to install them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
