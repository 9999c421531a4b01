"""The training that `mlp` on frames and `fine_tune` share: one network, one loop, one file each."""
