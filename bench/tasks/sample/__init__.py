"""Generated tasks: each stands in for a real one where its clips are not on this machine."""
