"""The GPUs that the shape promises: counted by the driver itself, which is installed while the host stands by."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from typing import Callable

from .commands import CommandFailed, run

# Images of Deep Learning VM bring an installer of their own.
_IMAGE_INSTALLER = Path("/opt/deeplearning/install-driver.sh")
_INSTALL_TIMEOUT_S = 1800


class AcceleratorMissing(Exception):
    """Fewer GPUs than asked for can be used."""


def count() -> int:
    """How many GPUs the driver shows. None where there is no driver."""
    try:
        shown = run(["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], timeout_s=120)
    except CommandFailed:
        return 0
    return sum(bool(line.strip()) for line in shown.stdout.splitlines())


def require(wanted: int, installer: str, scratch: Path, progress: Callable[[str], None]) -> None:
    """Returns when at least `wanted` GPUs are there. Installs the driver where they are not.

    `installer` is the address of an installer in Python, such as Google's. Raises `AcceleratorMissing`.
    """
    if wanted == 0 or count() >= wanted:
        return
    progress("installs the driver of the accelerators")
    try:
        _install(installer, scratch)
    except (CommandFailed, OSError) as why:
        raise AcceleratorMissing(f"the driver could not be installed: {why}") from why
    found = count()
    if found < wanted:
        raise AcceleratorMissing(f"nvidia-smi shows {found} accelerators where {wanted} are promised")


def _install(installer: str, scratch: Path) -> None:
    if os.access(_IMAGE_INSTALLER, os.X_OK):
        run([str(_IMAGE_INSTALLER)], timeout_s=_INSTALL_TIMEOUT_S)
    elif installer:
        file = scratch / "accelerator-driver.pyz"
        with urllib.request.urlopen(installer, timeout=300) as answer:
            file.write_bytes(answer.read())
        run(["python3", str(file), "install_driver"], timeout_s=_INSTALL_TIMEOUT_S)
    else:
        raise OSError("the image brings no installer, and the settings name none")
