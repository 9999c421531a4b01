"""The conformance suite, by subject; `backbones.checks` is where it is used from."""
