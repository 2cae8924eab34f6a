"""What a run says of itself while it continues: counts, events, metrics, status."""
