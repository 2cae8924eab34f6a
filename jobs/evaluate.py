"""Entry point for a cluster: `python jobs/evaluate.py` takes what `vggbatch evaluate` takes."""

import sys

from vggbatch.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["evaluate"]
    main()
