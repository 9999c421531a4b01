"""What a run is asked to be: the configuration, presets, and the cells of the grid."""
