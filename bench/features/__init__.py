"""Frames → statistics of every layer → cached vectors; frames of chosen layers, cached."""
