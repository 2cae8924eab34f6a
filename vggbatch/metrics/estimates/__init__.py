"""Intervals and measures of confidence."""
