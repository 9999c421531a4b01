"""What one trial fits, by what the head reads."""
