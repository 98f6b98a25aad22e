"""The kinds of agents as the compiler sees them, one file a kind."""
