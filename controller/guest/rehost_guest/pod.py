"""A pod as a host: the kubelet mounts the home, an init container has checked it, and nothing here needs root.

The init container sees the whole disk and runs `check`; the notebook's container sees `home/` of it only. What the
first has found, the second reads from a volume that both share.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

from . import accelerators, home, server_environment
from .paths import Paths
from .service import ChildService
from .settings import Bucket, Settings, parse

SETTINGS = Path("/etc/rehost/settings.json")
DISK = Path("/mnt/home-disk")
TERMINATION = Path("/dev/termination-log")
_CHECKED = "checked-home.json"
_SETTINGS_POLL_S = 2.0
_SETTINGS_WAIT_S = 60.0


class PodHost:
    """What `Supervisor` needs of a pod."""

    def __init__(self, paths: Paths, settings_file: Path = SETTINGS) -> None:
        self._paths, self._file = paths, settings_file
        self.service = ChildService()
        self.python = ""
        self._taken = False

    def boot_id(self) -> str:
        """One value for each start of the container: kernels end with it."""
        return str(uuid.uuid4())

    def settings(self, last_etag: str) -> Tuple[str, str]:
        """The settings when they differ from those with `last_etag`; waits for a while. The kubelet replaces them."""
        deadline = time.monotonic() + _SETTINGS_WAIT_S
        while True:
            text = self._file.read_text()
            etag = str(hash(text))
            if etag != last_etag or time.monotonic() > deadline:
                return text, etag
            time.sleep(_SETTINGS_POLL_S)

    def prepare(self, settings: Settings, progress: Callable[[str], None]) -> None:
        self.python = server_environment.find() or "python3"
        for name in ("runtime", "no-settings"):
            (self._paths.jupyter / name).mkdir(mode=0o700, exist_ok=True)
        found = accelerators.count() if settings.accelerators else 0
        if found < settings.accelerators:
            raise accelerators.AcceleratorMissing(
                f"nvidia-smi shows {found} accelerators where {settings.accelerators} are promised"
            )

    def has_home(self, settings: Settings) -> bool:
        return True

    def home_is_gone(self, settings: Settings) -> bool:
        return False

    def is_mounted(self) -> bool:
        return self._taken

    def take_home(self, settings: Settings) -> None:
        found = json.loads((self._paths.run / _CHECKED).read_text())
        if found["contentId"] != settings.home.content_id:
            raise home.Refused(
                home.CONTENT_MISMATCH,
                f"content {found['contentId']} was found, but {settings.home.content_id} is expected",
                found["contentId"],
            )
        secret = self._paths.jupyter / "cookie-secret"
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(found["cookieSecret"])
        self._taken = True

    def follow_buckets(self, wanted: Sequence[Bucket]) -> None:
        """The pod's volumes are its buckets: a change of them is another pod."""

    def bucket_states(self, wanted: Sequence[Bucket]) -> List[Dict[str, object]]:
        return [_bucket_state(bucket, self._paths.home / bucket.path) for bucket in wanted]

    def let_go(self, settings: Settings) -> None:
        """The kubelet unmounts. What is still in memory is written first, as far as one without root can ask for it."""
        os.sync()
        self._taken = False

    def lose_home(self) -> None:
        self._taken = False

    def grow(self, settings: Settings) -> bool:
        """The CSI driver does."""
        return True


def _bucket_state(bucket: Bucket, point: Path) -> Dict[str, object]:
    mounted = os.path.ismount(point)
    reason = None if mounted else "NotMounted"
    message = "" if mounted else "the pod has no volume there: the cluster may lack the driver for buckets"
    return {"path": bucket.path, "mounted": mounted, "reason": reason, "message": message}


def check(paths: Paths, settings_file: Path = SETTINGS, disk: Path = DISK, said: Path = TERMINATION) -> int:
    """The init container: the disk must carry the right content, or be empty where that is right. Returns the exit
    code; a refusal is written for the controller as a failure and a sentence."""
    settings = parse(settings_file.read_text())
    wanted = settings.home
    try:
        _check(disk, wanted)
    except home.Refused as why:
        said.write_text(json.dumps({"failure": why.failure, "message": str(why), "contentId": why.content_id}))
        print(f"rehost: {why.failure}: {why}", flush=True)
        return 1
    _make_points(disk / "home", settings.buckets)
    found = {"contentId": wanted.content_id, "cookieSecret": home.cookie_secret(disk)}
    file = paths.run / _CHECKED
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(found))
    return 0


def _make_points(home_folder: Path, wanted: Sequence[Bucket]) -> None:
    """The folders that buckets are mounted at, as the person's: the container runtime would make them as root's. What is
    there already is left alone, and a link is not followed."""
    for bucket in wanted:
        place = home_folder
        for part in Path(bucket.path).parts:
            place = place / part
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                print(f"rehost: ~/{bucket.path} cannot be mounted: {place.name} is there and no folder", flush=True)
                break
            place.mkdir(exist_ok=True)


def _check(disk: Path, wanted) -> None:
    found = home.read_id(disk)
    if found == wanted.content_id:
        return
    if found is not None and found == wanted.copied_from:
        home.write_id(disk, wanted.content_id)
    elif found is not None:
        message = f"the disk carries content {found}, but {wanted.content_id} is expected"
        raise home.Refused(home.CONTENT_MISMATCH, message, found)
    elif not wanted.format or set(os.listdir(disk)) - {"lost+found"}:
        message = f"the disk carries an ext4 without a content id, but {wanted.content_id} is expected"
        raise home.Refused(home.CONTENT_MISMATCH, message)
    else:
        home.lay_out(disk, wanted.content_id)
    os.sync()
