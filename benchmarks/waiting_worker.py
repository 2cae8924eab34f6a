"""A worker process of the local executor whose classifiers sleep (see waiting.py)."""

from __future__ import annotations

import sys

from benchmarks import waiting
from vggbatch.executors.local import worker

if __name__ == "__main__":
    vars(worker).update(Classify=waiting.WaitingClassify, decode=waiting.decode)
    worker.main(int(sys.argv[1]))
