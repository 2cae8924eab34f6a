"""Whether the files of an output are what was recorded of them."""
