"""The names of files and folders below OUTPUT that several modules know."""

STATE = "_vggbatch"
PREDICTIONS = "predictions"
PROFILES = "profiles"
SUCCESS = "_SUCCESS"
RUN = "run.json"
REPORT = "report.html"

PLAN = f"{STATE}/plan.json"
NEXT = f"{STATE}/next"
"""An output inside: what is scored to be added to a complete one, until it is."""
RECORD_MARK = f"{STATE}/run.mark"
"""Beside the run.json of `rescore`: who has written it (see recorded.py)."""
