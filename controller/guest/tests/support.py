"""What several tests of the guest need: the guest itself on the path, scratch folders, loop devices."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

GUEST = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(GUEST))

NEEDS_ROOT = unittest.skipUnless(
    os.geteuid() == 0 and os.path.exists("/dev/loop-control"), "needs root and loop devices"
)


def sh(*argv: str) -> str:
    """Runs a program of the test's own."""
    done = subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.stdout.decode()


class Scratch(unittest.TestCase):
    """A test with a folder of its own, gone afterwards."""

    def setUp(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="rehost-guest-"))
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)


class Disk:
    """A disk behind a loop device, as a machine sees it."""

    def __init__(self, test: Scratch, megabytes: int = 192, name: str = "disk") -> None:
        self.file = test.scratch / f"{name}.raw"
        with open(self.file, "wb") as new:
            new.truncate(megabytes << 20)
        self.device = Path(sh("losetup", "--find", "--show", str(self.file)).strip())
        test.addCleanup(self.detach)

    def detach(self) -> None:
        sh("losetup", "--detach", str(self.device))

    def sum(self) -> str:
        """The hash of all of it, what is still in memory included."""
        sh("sync")
        sh("blockdev", "--flushbufs", str(self.device))
        with open(self.file, "rb") as disk:
            digest = hashlib.sha256()
            for chunk in iter(lambda: disk.read(1 << 20), b""):
                digest.update(chunk)
        return digest.hexdigest()

    def put(self, at: int, data: bytes) -> None:
        descriptor = os.open(self.device, os.O_WRONLY)
        os.pwrite(descriptor, data, at)
        os.fsync(descriptor)
        os.close(descriptor)

    def grow(self, megabytes: int) -> None:
        os.truncate(self.file, megabytes << 20)
        sh("losetup", "--set-capacity", str(self.device))
