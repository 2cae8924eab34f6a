"""The stages in worker processes of this machine, without Ray."""
