"""Launch and control of runs, for commands and services."""
