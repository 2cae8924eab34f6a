"""Tests mirror vggbatch/: one file for each module, and end to end on real parts."""
