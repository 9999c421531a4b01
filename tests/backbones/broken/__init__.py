"""A correct little backbone, and one that breaks each promise: they test the conformance suite.

`weights/` holds the reference's parameters, drawn once; `golden/` what they gave, written by
`backbones.checks.write_golden`.
"""
