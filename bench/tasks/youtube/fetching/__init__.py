"""Sound on disk: one download, and all those of a table."""
