"""Entry point for a cluster: `python jobs/benchmark.py` takes what `vggbatch bench` takes."""

import sys

from vggbatch.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["bench"]
    main()
