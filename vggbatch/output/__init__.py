"""The files below OUTPUT: their layout, what is written and read of them, and who may write."""
