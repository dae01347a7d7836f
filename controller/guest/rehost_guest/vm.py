"""A VM as a host: it mounts the home itself, runs programs as systemd units, and reports by guest attributes."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from . import accelerators, account, buckets, home, mounts, server_environment
from .buckets import Buckets
from .commands import CommandFailed, run
from .metadata import MetadataServer
from .paths import GROUP_ID, USER_ID, Paths
from .service import UnitService
from .settings import Bucket, Settings
from .units import Units

KEY = "rehost-settings"
# How long something may hold on to the home after Jupyter has ended, before it is ended too.
_UNMOUNT_PATIENCE_S = 10
# Servers that images start by themselves (Deep Learning VM): they would serve another home, on another port.
_FOREIGN_SERVERS = ("jupyter.service", "jupyterhub.service")


class VmHost:
    """What `Supervisor` needs of a VM."""

    def __init__(self, paths: Paths, metadata: MetadataServer) -> None:
        self._paths, self._metadata = paths, metadata
        self._units = Units(paths.units)
        self._buckets = Buckets(self._units, paths)
        self._grow_tried_at = 0
        self._device: Optional[Path] = None
        self.service = UnitService(self._units)
        self.python = ""

    def boot_id(self) -> str:
        """One value for each boot. Not the kernel's own, which containers share; /run is empty at every boot."""
        file = self._paths.run / "boot-id"
        if not file.exists():
            file.write_text(str(uuid.uuid4()))
        return file.read_text()

    def settings(self, last_etag: str) -> Tuple[str, str]:
        """The settings when they differ from those with `last_etag`, and their etag. Waits for a while."""
        return self._metadata.changed_attribute(KEY, last_etag)

    def prepare(self, settings: Settings, progress: Callable[[str], None]) -> None:
        """Everything short of the home. Raises `CommandFailed`, `AcceleratorMissing`."""
        account.ensure(self._paths)
        for unit in _FOREIGN_SERVERS:
            run(["systemctl", "mask", "--runtime", "--now", unit], timeout_s=120, allowed=(0, 1, 4, 5))
        self.python = server_environment.ensure(settings.packages, progress)
        self._make_jupyter_folders()
        if settings.buckets and shutil.which("gcsfuse") is None:
            progress("installs gcsfuse")
            try:
                buckets.ensure_gcsfuse(settings.packages.gcsfuse, self._paths.private)
            except CommandFailed as why:
                # A bucket that cannot be mounted keeps nothing else from working; its state says so.
                progress(f"gcsfuse could not be installed: {why}")
        accelerators.require(settings.accelerators, settings.packages.accelerator_driver, self._paths.private, progress)

    def _make_jupyter_folders(self) -> None:
        for name in ("runtime", "no-settings"):
            folder = self._paths.jupyter / name
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, USER_ID, GROUP_ID)

    def has_home(self, settings: Settings) -> bool:
        """Whether the home's disk is attached."""
        return self._paths.device(settings.home.device).exists()

    def home_is_gone(self, settings: Settings) -> bool:
        """Whether the disk was torn out. Its link alone may be missing for a moment, whenever udev looks again."""
        return not self.has_home(settings) and not (self._device is not None and self._device.exists())

    def is_mounted(self) -> bool:
        """Whether the home is served from already: a supervisor that was started again finds it so."""
        return mounts.is_mounted(self._paths.home) and mounts.is_mounted(self._paths.disk)

    def take_home(self, settings: Settings) -> None:
        """Checks, mounts and shows the home. Raises `Refused` when nothing may be served from this disk."""
        self._device = device = Path(os.path.realpath(self._paths.device(settings.home.device)))
        if not mounts.is_mounted(self._paths.disk):
            home.take(device, settings.home, self._paths.disk, self._paths.private)
        if not mounts.is_mounted(self._paths.home):
            mounts.bind(self._paths.disk / "home", self._paths.home)
        self._give_cookie_secret()

    def _give_cookie_secret(self) -> None:
        file = self._paths.jupyter / "cookie-secret"
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as new:
            new.write(home.cookie_secret(self._paths.disk))
        os.chown(file, USER_ID, GROUP_ID)

    def follow_buckets(self, wanted: Sequence[Bucket]) -> None:
        self._buckets.follow(wanted)

    def bucket_states(self, wanted: Sequence[Bucket]) -> List[Dict[str, object]]:
        return self._buckets.states(wanted)

    def let_go(self, settings: Settings) -> None:
        """Flushes and unmounts. Raises `StillBusy` or `CommandFailed`; then it may be tried again."""
        self._buckets.let_go()
        mounts.unmount_below(self._paths.home, _UNMOUNT_PATIENCE_S)
        mounts.unmount_below(self._paths.disk, _UNMOUNT_PATIENCE_S)
        device = self._paths.device(settings.home.device)
        if device.exists():
            self._await_free(device)

    @staticmethod
    def _await_free(device: Path) -> None:
        """Another mount namespace may hold it for a moment longer: the disk is free when the kernel says so."""
        deadline = time.monotonic() + _UNMOUNT_PATIENCE_S
        while not home.is_free(device):
            if time.monotonic() > deadline:
                raise mounts.StillBusy(f"{device} is unmounted here, but something else still has it mounted")
            time.sleep(0.1)

    def lose_home(self) -> None:
        """The disk was torn out: takes away what is left of it."""
        self._buckets.let_go()
        mounts.unmount_lost(self._paths.home)
        mounts.unmount_lost(self._paths.disk)

    def grow(self, settings: Settings) -> bool:
        """Grows the file system when its disk has grown. Returns whether it fills the disk."""
        if home.fills_disk(self._device):
            return True
        size = home.disks.size(self._device)
        if size == self._grow_tried_at:
            return False
        self._grow_tried_at = size
        return home.grow_online(self._device)
