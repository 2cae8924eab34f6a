"""The stages as a Ray Data plan, over the nodes of a cluster."""
