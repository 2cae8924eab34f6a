"""The JSON documents of an output, read within limits and with the types they must have."""
