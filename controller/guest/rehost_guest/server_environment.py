"""The Python in which Jupyter's server runs. It is on the boot disk and never in the home: nothing that a person
installs can break it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Callable, List, Optional

from .commands import CommandFailed, run
from .settings import Packages

OURS = Path("/opt/rehost/jupyter")
# Images of our recipe, and of Deep Learning VM.
_IMAGES = (Path("/opt/jupyter/bin/python"), Path("/opt/conda/bin/python"))
# Before this one, opening a notebook could lead to the theft of a token (CVE-2026-44727).
_SERVER_MIN = (2, 20)
_INSTALL_TIMEOUT_S = 900
_WHOLE = "rehost-whole"
# Asked of the packages' records: importing JupyterLab takes seconds.
_ASK = "from importlib.metadata import version as v; v('jupyterlab'); print(v('jupyter_server'))"


def find() -> Optional[str]:
    """A Python whose JupyterLab is new enough, or nothing."""
    # One of ours that was cut off in the making has no mark.
    ours = [OURS / "bin/python"] if (OURS / _WHOLE).exists() else []
    candidates = [*map(str, [*ours, *_IMAGES]), sys.executable]
    return next((it for it in candidates if os.access(it, os.X_OK) and _serves(it)), None)


def _serves(python: str) -> bool:
    try:
        version = run([python, "-s", "-c", _ASK], timeout_s=120).stdout.strip()
        return tuple(int(part) for part in version.split(".")[:2]) >= _SERVER_MIN
    except (CommandFailed, ValueError):
        return False


def ensure(packages: Packages, progress: Callable[[str], None]) -> str:
    """A Python with JupyterLab: the image's, else one that is installed. Raises `CommandFailed`."""
    found = find()
    if found is not None:
        return found
    progress(f"installs JupyterLab {packages.jupyterlab}")
    if shutil.which("uv") is None:
        _ensure_venv(progress)
    shutil.rmtree(OURS, ignore_errors=True)
    create(OURS, [f"jupyterlab=={packages.jupyterlab}", "ipykernel"], packages.index, as_user=False)
    (OURS / _WHOLE).touch()
    found = find()
    if found is None:
        raise CommandFailed([str(OURS / "bin/python")], 1, "JupyterLab was installed and cannot be imported")
    return found


def _ensure_venv(progress: Callable[[str], None]) -> None:
    """Debian and Ubuntu keep what `venv` needs in a package of its own."""
    try:
        run(["python3", "-c", "import ensurepip, venv"], timeout_s=60)
    except CommandFailed:
        progress("installs python3-venv")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-q"], timeout_s=_INSTALL_TIMEOUT_S, environment=quiet)
        run(["apt-get", "install", "-q", "-y", "python3-venv"], timeout_s=_INSTALL_TIMEOUT_S, environment=quiet)


def create(place: Path, packages: List[str], index: str, as_user: bool, python: str = "", home: str = "/root") -> None:
    """Makes an environment with packages in it, with uv where it is there, else with venv and pip."""
    around = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8"}
    for name, value in os.environ.items():
        if name.startswith(("PIP_", "UV_", "SSL_CERT_")):
            around[name] = value
    uv = shutil.which("uv")
    if uv is not None:
        version = ["--python", python] if python else []
        steps = [[uv, "venv", "-q", *version, str(place)]]
        source = ["--index-url", index] if index else []
        steps.append([uv, "pip", "install", "-q", *source, "--python", str(place / "bin/python"), *packages])
    else:
        source = ["--index-url", index] if index else []
        steps = [["python3", "-m", "venv", str(place)]]
        pip = [str(place / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        steps.append([*pip, *source, *packages])
    for step in steps:
        run(step, timeout_s=_INSTALL_TIMEOUT_S, environment=around, as_user=as_user)
