"""From image bytes to the network's input: decoding, resizing, cropping, normalizing."""
