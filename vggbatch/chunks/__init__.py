"""The unit of work: a chunk of images on its way through the stages, and what is counted."""
