"""An int8 network from images of the user: sampled, calibrated, written, measured."""
