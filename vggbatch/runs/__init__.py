"""One run, from opening an output to _SUCCESS, all of it under the lease on the output."""
