"""Tensors, whichever library they come from: strict reading, and the frames of a padded batch."""
