"""The formats of images and shards, one module per format."""
