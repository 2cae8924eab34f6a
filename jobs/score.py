"""Entry point for a cluster: `python jobs/score.py` takes what `vggbatch score` takes."""

import sys

from vggbatch.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["score"]
    main()
