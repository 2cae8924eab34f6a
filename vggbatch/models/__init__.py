"""Models: the zoo's catalog, getting and checking weights, synthetic ones, graph preparation."""
