"""One attempt at a step: its outcome, its output, its lease and its retry."""
