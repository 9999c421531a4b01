"""From a configuration to a plan: what will run, what is done or skipped, and how long."""
