"""A backbone for voxgrid in a package of its own."""
