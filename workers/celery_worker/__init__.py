"""The worker process: its keeper, its claim table and the engine of each child."""
