"""Small correct heads, and of each one version per check that breaks nothing but that check."""
