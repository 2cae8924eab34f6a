"""Ray clusters: the connection, what their nodes have, and what is placed where."""
