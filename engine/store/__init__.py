"""Where a live run is kept: the RunStore port and its two members."""
