"""RAVDESS speech."""
