"""How the stages of a run are executed: by worker processes of this machine, or by Ray Data."""
