"""voxgrid's harness: everything that joins backbones, poolings and heads."""
