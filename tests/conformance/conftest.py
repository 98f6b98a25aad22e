"""The runner of the cases is a helper beside them."""

from __future__ import annotations

import sys
from pathlib import Path

# With --import-mode=importlib a test folder is on no path; its helpers need one.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))
