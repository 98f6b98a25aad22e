"""What starts, guards and ends worker processes."""
