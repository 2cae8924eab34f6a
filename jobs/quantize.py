"""Entry point for a cluster: `python jobs/quantize.py` takes what `vggbatch models quantize` takes.

Model, INPUT, labels and output may all be URIs. It runs on the node where it is started: to
calibrate takes a minute or two of one machine.
"""

import sys

from vggbatch.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["models", "quantize"]
    main()
