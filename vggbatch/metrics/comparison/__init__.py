"""Two runs over the same images: paired differences and where they disagree."""
