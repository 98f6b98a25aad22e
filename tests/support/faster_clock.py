"""A clock that a test can make faster."""

import time


class FasterClock:
    """Counts the seconds that pass, and those that a test lets pass at once."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds
