"""Rates beside the peers' and the machine's limit, all from one interleaved run."""
