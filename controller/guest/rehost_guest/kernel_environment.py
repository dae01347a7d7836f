"""The default kernel's environment, `~/.venv`. It is kept in the home, so that what a person installs moves with them.

It is made once. While it is made, and where it does not work (another image may bring another Python), kernels run in
the server's own environment, and the report says so.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Dict

from .commands import CommandFailed, run
from .paths import Paths
from .server_environment import create
from .settings import Settings

# There from before the environment is begun until it is whole.
_BEGUN = ".venv.unfinished"
_PROFILE = """# Puts the environment of the notebook's kernels first.
PATH="$HOME/.venv/bin:$PATH"
[ ! -f ~/.bashrc ] || . ~/.bashrc
"""


def report(state: str, message: str = "") -> Dict[str, str]:
    """A word on the environment: `Making`, `Ready` or `Failed`."""
    return {"state": state, "message": message}


def ensure(settings: Settings, paths: Paths) -> Dict[str, str]:
    """Makes the environment where there is none, and offers it to Jupyter where it works."""
    place = paths.home / ".venv"
    try:
        if not place.exists() or (paths.home / _BEGUN).exists():
            _make(place, settings, paths)
        run([str(place / "bin/python"), "-c", "import ipykernel"], timeout_s=120, as_user=True)
    except (CommandFailed, OSError) as why:
        _withdraw(paths)
        return report("Failed", f"kernels run in the server's environment, because ~/.venv does not work: {why}")
    _offer(place, paths)
    return report("Ready")


def _make(place: Path, settings: Settings, paths: Paths) -> None:
    """As the person, throughout: the home is theirs, and may hold links to anywhere."""
    begun = str(paths.home / _BEGUN)
    for step in (["touch", begun], ["rm", "-rf", str(place)]):
        run(step, timeout_s=300, as_user=True)
    wanted = ["ipykernel", *settings.kernels.packages]
    create(place, wanted, settings.packages.index, True, settings.kernels.python, str(paths.home))
    profile = paths.home / ".profile"
    if not os.path.lexists(profile):
        run(["sh", "-c", 'set -C; printf %s "$1" > "$2"', "sh", _PROFILE, str(profile)], timeout_s=60, as_user=True)
    run(["rm", begun], timeout_s=60, as_user=True)


def _offer(place: Path, paths: Paths) -> None:
    """Makes it Jupyter's `python3`, unless the person has a kernel of that name."""
    if (paths.home / ".local/share/jupyter/kernels/python3").exists():
        return
    folder = paths.jupyter / "share/kernels/python3"
    folder.mkdir(parents=True, exist_ok=True)
    argv = [str(place / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python", "metadata": {"debugger": True}}
    beside = folder / "kernel.json.new"
    beside.write_text(json.dumps(spec))
    os.replace(beside, folder / "kernel.json")


def _withdraw(paths: Paths) -> None:
    shutil.rmtree(paths.jupyter / "share/kernels", ignore_errors=True)
