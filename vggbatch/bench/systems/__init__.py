"""The systems, each in a module that its own process alone imports."""
