"""Records → leaderboard, figures, listings."""
