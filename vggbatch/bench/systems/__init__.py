"""The contenders, each in a module that its own process alone imports."""
