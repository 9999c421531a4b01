"""The page to explore: one HTML file, which asks nothing of any server."""
