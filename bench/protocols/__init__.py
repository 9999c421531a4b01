"""Protocols: named ways to fold a task."""
