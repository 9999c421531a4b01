"""Records: the stored results."""
