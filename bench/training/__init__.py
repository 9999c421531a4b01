"""Stored and live frames for heads that train on them, and training-time augmentation."""
