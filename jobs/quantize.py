"""Entry point for a cluster: `python jobs/quantize.py` takes what `vggbatch models quantize` takes.

Model, INPUT, labels and output may all be URIs. Tasks on all nodes run the network on the
calibration images; the rest runs on the node where it is started.
"""

import sys

from vggbatch.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["models", "quantize"]
    main()
