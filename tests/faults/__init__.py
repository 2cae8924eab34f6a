"""Runs whose k-th operation on a disk or a store fails, kills or pauses them."""
