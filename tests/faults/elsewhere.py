"""The command as on another machine, which watches a silent lease for a second only.

    python -m tests.faults.elsewhere score ...

A driver of this machine that is stopped is alive; one on another machine may be dead, and is given
up once its lease has not changed for a while.
"""

from __future__ import annotations

import sys

from vggbatch.output.ownership import lease

INTERVAL_S, TIMEOUT_S = 0.2, 1.0


def main() -> None:
    """Run the command line."""
    lease._machine = lambda: "another machine"  # type: ignore[assignment]
    lease.OutputLease.__init__.__defaults__ = (INTERVAL_S, TIMEOUT_S)
    from vggbatch.cli import main as command

    sys.argv[0] = "vggbatch"
    command()


if __name__ == "__main__":
    main()
