"""What runs in the demonstration's child processes: the command line, which ends when its parent is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time


def main() -> None:
    """Run ``picktune`` with the arguments after the first, which is the parent's process id."""
    from picktune.cli import main as command_line

    parent = int(sys.argv.pop(1))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    command_line()


def _end_with(parent: int) -> None:
    # A parent that is killed cannot stop its children, and a server must not outlive its demonstration.
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
