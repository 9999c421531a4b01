"""Tables of the leaderboard."""
