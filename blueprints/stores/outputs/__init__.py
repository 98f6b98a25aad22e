"""Where outputs are kept: one file for each place that SWARM_OUTPUTS can name."""
