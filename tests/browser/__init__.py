"""The page to explore, in a real browser."""
