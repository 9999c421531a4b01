"""The table of links: read, cleaned, its damaged ids repaired."""
