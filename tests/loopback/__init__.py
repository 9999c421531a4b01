"""A site of videos on this machine: generated sound, a server that misbehaves on request."""
