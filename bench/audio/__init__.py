"""Audio files → decoded, windowed, batched samples."""
