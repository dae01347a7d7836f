"""What is on a block device, found out without changing a byte of it."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from .commands import CommandFailed, run

# A blank persistent disk reads as zeros; a file system whose beginning was damaged does not.
END_SCAN_BYTES = 64 << 20
_CHUNK = 1 << 20
_SAMPLE_BYTES = 64 << 10
_SAMPLES = 128
# Where ext4 with blocks of 4 KiB keeps copies of its superblock (sparse_super), in groups of 128 MiB.
_SUPERBLOCK_GROUPS = (1, 3, 5, 7, 9, 25, 27, 49, 81, 125)
_GROUP_BYTES = 128 << 20

_SUPERBLOCK_AT = 1024
_EXT4_MAGIC = 0xEF53
_NEEDS_RECOVERY = 0x4
_IS_64BIT = 0x80
CONTENT_ID_ON_DISK = "/.rehost/content-id"
_CONTENT_ID_BYTES_MAX = 1024


def size(device: Path) -> int:
    """The size in bytes. Raises `OSError` where the device cannot be read."""
    descriptor = os.open(device, os.O_RDONLY)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def signatures(device: Path) -> dict:
    """What libblkid finds: `TYPE` of a file system, RAID, LVM or LUKS, `PTTYPE` of a partition table, `UUID`; empty
    where it finds nothing. blkid says 2 for "nothing" and for "cannot open" alike, so the device is opened first."""
    os.close(os.open(device, os.O_RDONLY))
    try:
        found = run(["blkid", "-p", "-o", "export", str(device)], timeout_s=60, allowed=(0, 2))
    except CommandFailed as why:
        if why.code == 8:
            return {"TYPE": "several at once"}
        raise
    return dict(
        line.split("=", 1) for line in found.stdout.splitlines() if "=" in line and not line.startswith("DEVNAME=")
    )


def reads_as_zeros(device: Path) -> bool:
    """Whether both ends of the device, and samples in between, are zeros."""
    with open(device, "rb", buffering=0) as disk:
        total = disk.seek(0, os.SEEK_END)
        return all(_zeros(disk, start, length) for start, length in _looked_at(total))


def _looked_at(total: int) -> Iterator[Tuple[int, int]]:
    yield 0, min(END_SCAN_BYTES, total)
    yield max(0, total - END_SCAN_BYTES), min(END_SCAN_BYTES, total)
    starts: List[int] = [group * _GROUP_BYTES for group in _SUPERBLOCK_GROUPS]
    starts += [total // _SAMPLES * index for index in range(_SAMPLES)]
    for start in starts:
        if start < total:
            yield start, min(_SAMPLE_BYTES, total - start)


def _zeros(disk, start: int, length: int) -> bool:
    disk.seek(start)
    while length > 0:
        chunk = disk.read(min(_CHUNK, length))
        if not chunk:
            raise OSError(f"the disk ends at {disk.tell()}, {length} bytes too early")
        if chunk.count(0) != len(chunk):
            return False
        length -= len(chunk)
    return True


@dataclass(frozen=True)
class Superblock:
    """What the primary superblock of an ext4 says."""

    blocks: int
    block_bytes: int
    needs_recovery: bool

    @property
    def bytes(self) -> int:
        return self.blocks * self.block_bytes


def superblock(device: Path) -> Optional[Superblock]:
    """The primary superblock, or nothing where there is none."""
    with open(device, "rb", buffering=0) as disk:
        disk.seek(_SUPERBLOCK_AT)
        raw = disk.read(1024)
    if len(raw) < 1024 or struct.unpack_from("<H", raw, 0x38)[0] != _EXT4_MAGIC:
        return None
    incompatible = struct.unpack_from("<I", raw, 0x60)[0]
    blocks = struct.unpack_from("<I", raw, 0x4)[0]
    if incompatible & _IS_64BIT:
        blocks |= struct.unpack_from("<I", raw, 0x150)[0] << 32
    return Superblock(
        blocks=blocks,
        block_bytes=1024 << struct.unpack_from("<I", raw, 0x18)[0],
        needs_recovery=bool(incompatible & _NEEDS_RECOVERY),
    )


def content_id(device: Path) -> Optional[str]:
    """The content id of an ext4, or nothing. debugfs reads it: a mount, even a read-only one, may write."""
    text = _debugfs(device, f"cat {CONTENT_ID_ON_DISK}").strip()
    return text if 0 < len(text) <= _CONTENT_ID_BYTES_MAX else None


def is_empty(device: Path) -> bool:
    """Whether an ext4 holds nothing but `lost+found`, as mkfs leaves it."""
    entries = [line.split("/") for line in _debugfs(device, "ls -p /").splitlines() if line.startswith("/")]
    names = {entry[5] for entry in entries if len(entry) > 5 and entry[1] != "0"}
    # A listing without the two dots is no listing: debugfs could not read the root.
    return {".", ".."} <= names <= {".", "..", "lost+found"}


def _debugfs(device: Path, request: str) -> str:
    return run(["debugfs", "-c", "-R", request, str(device)], timeout_s=120).stdout
