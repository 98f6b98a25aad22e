"""The tables of the guide are made by a helper beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

# With --import-mode=importlib a test folder is on no path; its helpers need one.
for folder in (Path(__file__).parent, Path(__file__).parents[1] / "conformance"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
