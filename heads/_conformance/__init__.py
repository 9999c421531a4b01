"""The conformance suite of `heads.checks`: what it looks at, and its checks by what they are of."""
