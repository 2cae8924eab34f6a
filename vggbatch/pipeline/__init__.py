"""The Ray Data pipeline: plan, resume, the way of an image, and the Parquet sink."""
