"""Prints the text files of the directory named on standard input, as a JSON array.

Run as a child process by repo-digest.json; standard library only.
"""

import json
import os
import sys
from pathlib import Path

SKIPPED = {".git", ".venv", "var", "node_modules", "__pycache__", "build", "dist"}
MOST = 2000


def text_files(root: Path) -> list[str]:
    """Return the relative paths of text files below a directory, sorted, at most MOST."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name for name in folders if name not in SKIPPED and name[0] != "."
        )
        for name in sorted(names):
            path = Path(folder, name)
            if not path.is_symlink() and is_text(path):
                found.append(str(path.relative_to(root)))
    return sorted(found)[:MOST]


def is_text(path: Path) -> bool:
    """Tell whether a file starts like text: no NUL, and UTF-8 as far as one can see."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    # The cut may have split a character.
    return b"\0" not in head and "\ufffd" not in head.decode(errors="replace")[:-4]


def main() -> int:
    """Print the list and return 0; 1 and a clear line when there is no such directory."""
    root = Path(sys.stdin.read().strip() or ".").resolve()
    if not root.is_dir():
        sys.stderr.write(f"{root} is not a directory\n")
        return 1
    files = [{"root": str(root), "path": path} for path in text_files(root)]
    sys.stdout.write(json.dumps(files) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
