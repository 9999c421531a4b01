"""Files and plugins of strangers: each kind a small one that its test makes itself."""
