"""What is asked of YouTube, by yt-dlp: search, description, connections; and what it answers."""
