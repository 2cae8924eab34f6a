"""Programs that measure vggbatch for its developers; not part of what is installed."""
