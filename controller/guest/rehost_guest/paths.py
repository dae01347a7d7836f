"""Where the guest keeps things. All of it is under /run, so that a boot disk never carries anything stale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# The uid and gid are a part of the home disk: every host, whatever its image, uses these.
USER_ID = 1000
GROUP_ID = 1000


@dataclass(frozen=True)
class Paths:
    """The places, under a root that tests can move."""

    root: Path = Path("/")

    @property
    def run(self) -> Path:
        return self.root / "run/rehost"

    @property
    def private(self) -> Path:
        """Root's alone: what lies beside the home on the disk is reached through here only."""
        return self.run / "private"

    @property
    def disk(self) -> Path:
        """Where the whole home disk is mounted."""
        return self.private / "disk"

    @property
    def home(self) -> Path:
        """Where the person sees `home/` of the disk."""
        return self.root / "home/jupyter"

    @property
    def jupyter(self) -> Path:
        """What Jupyter's server reads: who may enter, its cookie secret, its runtime files."""
        return self.run / "jupyter"

    @property
    def units(self) -> Path:
        return self.root / "run/systemd/system"

    def device(self, name: str) -> Path:
        """The link that the guest environment makes for a disk attached under a device name."""
        return self.root / "dev/disk/by-id" / f"google-{name}"

    def make(self) -> None:
        """Makes the folders that are not mount points."""
        self.run.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.private.mkdir(mode=0o700, exist_ok=True)
        self.jupyter.mkdir(mode=0o755, exist_ok=True)
