"""Show a moment in the player of the system."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Players that can be told where to begin.
_WITH_START = {"mpv": "--start={}", "vlc": "--start-time={}"}


def play(path: Path, start_s: float = 0.0) -> bool:
    """Open a video in a player, at a second where it can be told to begin there.

    mpv and vlc are asked first, then what opens files here. Returns whether there was one; it is
    not waited for.
    """
    command = _command(path, start_s)
    if not command:
        return False
    none = subprocess.DEVNULL
    subprocess.Popen(command, stdin=none, stdout=none, stderr=none, start_new_session=True)
    return True


def _command(path: Path, start_s: float) -> list[str]:
    if sys.platform == "linux" and not (os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"}):
        return []
    for player, option in _WITH_START.items():
        if found := shutil.which(player):
            return [found, option.format(f"{start_s:.2f}"), str(path.absolute())]
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    return [opener, str(path.absolute())] if opener else []
