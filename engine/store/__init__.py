"""Where a live run is kept: the RunStore port, and the store in Redis."""
