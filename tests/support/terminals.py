"""A command on a terminal of its own, which a test reads and types into."""

import fcntl
import os
import pty
import select
import subprocess
import termios
import time

from command_shell import REPO, Shell


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """A command with a terminal: what it wrote, and what is typed."""

    def __init__(self, shell: Shell, *args: object, **env: str) -> None:
        """Start a command of `manage.py`."""
        self._fd, slave = pty.openpty()
        self.command = subprocess.Popen(
            shell.line(*args),
            cwd=REPO,
            env={**shell.env, "TERM": "dumb", **env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self.text = ""
        self._seen = 0

    def _read(self, seconds: float) -> bool:
        """Read for some seconds at most; False at the end."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return True
        try:
            found = os.read(self._fd, 65536)
        except OSError:
            return False
        self.text += found.decode()
        return bool(found)

    def expect(self, text: str, seconds: float = 30) -> None:
        """Wait until a text is written behind the one that was expected last."""
        end = time.monotonic() + seconds
        while text not in self.text[self._seen :]:
            assert time.monotonic() < end, self.text
            assert self._read(0.2), self.text
        self._seen = self.text.index(text, self._seen) + len(text)

    def type(self, text: str) -> None:
        """Type a text; `\\x03` is Ctrl-C."""
        os.write(self._fd, text.encode())

    def wait(self, seconds: float = 40) -> int:
        """Read to the end; return the exit code."""
        end = time.monotonic() + seconds
        while self._read(0.2):
            assert time.monotonic() < end, self.text
        os.close(self._fd)
        return self.command.wait(10)
