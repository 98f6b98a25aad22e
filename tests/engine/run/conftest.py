"""The helpers of the simulations are of use here too."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
# With --import-mode=importlib a test folder is on no path; its helpers need one.
for folder in (TESTS / "simulation", TESTS / "engine" / "store"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
