"""Frames → statistics of every layer → cached vectors."""
