"""What a terminal shows of a run, and the session that drives one."""
