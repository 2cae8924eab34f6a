"""Tables of images or labels: delimited text, JSON and Parquet, and what their columns hold."""
