"""What is to be done, checked before anything is begun."""
