"""Mounting and unmounting. Nothing is ever unmounted lazily: what is said to be unmounted is."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Set

from .commands import CommandFailed, run


class StillBusy(Exception):
    """Something holds on to a mount. Names it."""


@dataclass(frozen=True)
class Mount:
    point: str
    kind: str
    device: str
    """The major and minor number, as `8:16`."""


def all_mounts() -> List[Mount]:
    """What is mounted in our mount namespace, in the order in which it was."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        fields = before.split(" ")
        found.append(Mount(_unescape(fields[4]), after.split(" ")[0], fields[2]))
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def is_mounted(point: Path) -> bool:
    """Whether something is mounted at exactly this place."""
    return any(mount.point == str(point) for mount in all_mounts())


def mount_disk(device: Path, point: Path) -> None:
    """Mounts an ext4. An error of the disk makes it read-only rather than worse."""
    point.mkdir(mode=0o755, parents=True, exist_ok=True)
    run(["mount", "-t", "ext4", "-o", "noatime,nosuid,nodev,errors=remount-ro", str(device), str(point)], timeout_s=600)


def bind(source: Path, point: Path) -> None:
    """Shows a folder at another place."""
    point.mkdir(mode=0o755, parents=True, exist_ok=True)
    run(["mount", "--bind", str(source), str(point)], timeout_s=60)


def unmount_below(point: Path, patience_s: float) -> None:
    """Unmounts everything at and below a place, the latest first. What holds on is asked to end, then ended.

    Raises `StillBusy` when something holds on past `patience_s`.
    """
    deadline = time.monotonic() + patience_s
    while True:
        below = [it for it in all_mounts() if it.point == str(point) or it.point.startswith(f"{point}/")]
        if not below:
            return
        latest = below[-1]
        try:
            run(["umount", latest.point], timeout_s=600)
            continue
        except CommandFailed as why:
            said = why.said
        left = deadline - time.monotonic()
        holders = holding(latest)
        if left <= 0:
            names = ", ".join(_name(pid) for pid in sorted(holders)[:5]) or said
            raise StillBusy(f"{latest.point} cannot be unmounted: held by {names}")
        for pid in holders:
            _signal(pid, signal.SIGTERM if left > patience_s / 2 else signal.SIGKILL)
        time.sleep(0.2)


def unmount_lost(point: Path) -> None:
    """Takes away the mounts of a disk that is gone. There is nothing to be flushed any more, so lazily for once."""
    for mount in reversed([it for it in all_mounts() if it.point == str(point) or it.point.startswith(f"{point}/")]):
        run(["umount", "--lazy", mount.point], timeout_s=60, allowed=(0, 1, 32))


def holding(mount: Mount) -> Set[int]:
    """The processes that use a file, folder or mapping of a mounted device; never ourselves, never init."""
    major, minor = (int(part) for part in mount.device.split(":"))
    device = os.makedev(major, minor)
    return {pid for pid in _processes() if any(_is_on(path, device) for path in _uses(pid))} - {1, os.getpid()}


def _processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _uses(pid: int) -> Iterator[str]:
    for name in ("cwd", "root", "exe"):
        yield f"/proc/{pid}/{name}"
    for folder in ("fd", "map_files"):
        try:
            yield from (f"/proc/{pid}/{folder}/{name}" for name in os.listdir(f"/proc/{pid}/{folder}"))
        except OSError:
            # It has ended meanwhile.
            continue


def _is_on(path: str, device: int) -> bool:
    try:
        return os.stat(path).st_dev == device
    except OSError:
        return False


def _name(pid: int) -> str:
    try:
        return f"{Path(f'/proc/{pid}/comm').read_text().strip()} ({pid})"
    except OSError:
        return str(pid)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        # It has ended meanwhile.
        return
