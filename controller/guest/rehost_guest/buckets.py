"""Cloud Storage buckets under the home, through gcsfuse, each in a unit of its own. A bucket that cannot be mounted is
reported with its reason and keeps nothing else from working."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Set

from . import mounts
from . import units as systemd
from .commands import CommandFailed, last_lines, run
from .paths import Paths
from .settings import Bucket
from .units import Units

_PREFIX = "rehost-bucket-"
_STOP_S = 10
# What holds on to a bucket is asked to end, and after half of this ended.
_RELEASE_S = 20
# gcsfuse answers for a bucket that is not there within a few seconds; then systemd tries again, and so on.
_PATIENCE_S = 30
# Words of gcsfuse's, and what they mean.
_REASONS = (
    ("bucket doesn't exist", "BucketNotFound"),
    ("notfound", "BucketNotFound"),
    ("404", "BucketNotFound"),
    ("403", "NotPermitted"),
    ("permissiondenied", "NotPermitted"),
    ("does not have storage.", "NotPermitted"),
    ("could not find default credentials", "NoIdentity"),
)


class Buckets:
    """The buckets of one host, as the settings want them."""

    def __init__(self, units: Units, paths: Paths) -> None:
        self._units, self._paths = units, paths
        self._since: Dict[str, float] = {}
        self._refused: Dict[str, Dict[str, object]] = {}
        self._seen_well: Set[str] = set()

    def follow(self, wanted: Sequence[Bucket]) -> None:
        """Mounts what is wanted and unmounts what is not. Does not wait for a mount."""
        units = {self._unit_name(bucket): bucket for bucket in wanted}
        for name in self._units.names(_PREFIX):
            if name not in units:
                self._units.remove(name, timeout_s=_STOP_S * 3)
        self._refused, self._seen_well = {}, set()
        for name, bucket in units.items():
            self._start(name, bucket)

    def _start(self, name: str, bucket: Bucket) -> None:
        point = self._paths.home / bucket.path
        try:
            if not self._units.is_active(name):
                problem = self._make_point(bucket, point)
                if problem is not None:
                    self._refused[bucket.path] = problem
                    return
                self._since[bucket.path] = time.monotonic()
            self._units.ensure(name, self._unit(bucket, point))
        except (CommandFailed, OSError) as why:
            self._refused[bucket.path] = _state(bucket, "Failed", str(why))

    def _make_point(self, bucket: Bucket, point: Path) -> Optional[Dict[str, object]]:
        if shutil.which("gcsfuse") is None:
            return _state(bucket, "NotInstalled", "gcsfuse is not on this host")
        if mounts.is_mounted(point):
            run(["umount", "--lazy", str(point)], timeout_s=60)
        # As the person: the home is theirs, and a link in it must not lead root anywhere.
        run(["mkdir", "-p", "--", str(point)], timeout_s=60, as_user=True)
        if os.path.realpath(point) != str(point):
            return _state(bucket, "PathEscapes", f"~/{bucket.path} leads elsewhere through a link")
        if os.listdir(point):
            return _state(bucket, "PathTaken", f"~/{bucket.path} is not empty: a mount would hide what is in it")
        return None

    def _unit(self, bucket: Bucket, point: Path) -> str:
        argv = [shutil.which("gcsfuse") or "gcsfuse", "--foreground", "--implicit-dirs"]
        argv += ["--only-dir", bucket.prefix.rstrip("/")] if bucket.prefix.rstrip("/") else []
        argv += ["-o", "ro"] if bucket.read_only else []
        argv += [bucket.name, str(point)]
        unmount = systemd.words(["fusermount3", "-u", "-z", str(point)])
        lines = [f"ExecStartPre=-{unmount}", f"ExecStopPost=-{unmount}", f"TimeoutStopSec={_STOP_S}", "RestartSec=5"]
        # Asked to end, gcsfuse unmounts by a program of its own, which must not be ended with it.
        lines.append("KillMode=mixed")
        environment = {"HOME": str(self._paths.home), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        return systemd.service(f"Bucket {bucket.name}", argv, environment, lines)

    def let_go(self) -> None:
        """Unmounts all of them. The kernel has gcsfuse write back what was written before an unmount returns."""
        for mount in reversed(mounts.all_mounts()):
            if mount.kind.startswith("fuse") and mount.point.startswith(f"{self._paths.home}/"):
                mounts.unmount_below(Path(mount.point), _RELEASE_S)
        for name in self._units.names(_PREFIX):
            self._units.remove(name, timeout_s=_STOP_S * 3)

    def states(self, wanted: Sequence[Bucket]) -> List[Dict[str, object]]:
        """How each of them is."""
        mounted = {mount.point for mount in mounts.all_mounts() if mount.kind.startswith("fuse")}
        return [self._state_of(bucket, mounted) for bucket in wanted]

    def _state_of(self, bucket: Bucket, mounted: "set[str]") -> Dict[str, object]:
        if bucket.path in self._refused:
            return self._refused[bucket.path]
        if str(self._paths.home / bucket.path) in mounted:
            return self._look_into(bucket)
        if time.monotonic() - self._since.get(bucket.path, 0) < _PATIENCE_S:
            return _state(bucket, "Mounting", "")
        said = self._units.said(self._unit_name(bucket))
        return _state(bucket, _reason(said), last_lines(said))

    def _look_into(self, bucket: Bucket) -> Dict[str, object]:
        """A mount may succeed and its bucket not be there, or not be ours to read: then it looks empty, and only what
        gcsfuse says tells it from an empty one."""
        if bucket.path not in self._seen_well:
            argv = ["find", str(self._paths.home / bucket.path), "-mindepth", "1", "-maxdepth", "1", "-print", "-quit"]
            asked_s = time.time()
            try:
                first = run(argv, timeout_s=20, as_user=True).stdout
            except CommandFailed as why:
                return _state(bucket, _reason(why.said), why.said)
            said = "" if first else self._units.said(self._unit_name(bucket), asked_s)
            if _reason(said) != "Failed":
                return _state(bucket, _reason(said), last_lines(said))
            self._seen_well.add(bucket.path)
        return _state(bucket, None, "")

    @staticmethod
    def _unit_name(bucket: Bucket) -> str:
        # A path may hold what a unit's name may not.
        return f"{_PREFIX}{hashlib.sha256(bucket.path.encode()).hexdigest()[:16]}.service"


def _state(bucket: Bucket, reason: Optional[str], message: str) -> Dict[str, object]:
    return {"path": bucket.path, "mounted": reason is None, "reason": reason, "message": message}


def _reason(said: str) -> str:
    lowered = said.lower()
    return next((reason for words, reason in _REASONS if words in lowered), "Failed")


def ensure_gcsfuse(address: str, scratch: Path) -> None:
    """Installs gcsfuse where the image has none: from the given address, else from Google's packages."""
    if shutil.which("gcsfuse") is not None:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if not address:
        run(["apt-get", "update", "-q"], timeout_s=900, environment=quiet)
        run(["apt-get", "install", "-q", "-y", "gcsfuse"], timeout_s=900, environment=quiet)
    elif address.endswith(".deb"):
        run(["curl", "-sSfL", "-o", str(scratch / "gcsfuse.deb"), "--", address], timeout_s=900)
        run(["apt-get", "install", "-q", "-y", str(scratch / "gcsfuse.deb")], timeout_s=900, environment=quiet)
    else:
        run(["curl", "-sSfL", "-o", "/usr/local/bin/gcsfuse", "--", address], timeout_s=900)
        os.chmod("/usr/local/bin/gcsfuse", 0o755)
