"""The mark of a home that is being made: it tells a half-made disk of ours from somebody's data.

The first sector of an ext4 is never used by the file system. On a disk that was seen to be blank, a mark is written
there before anything else, and taken away after everything else. So at any moment a disk is one of: blank; marked, and
then nothing on it was ever anybody's, since nothing is served from a marked disk; or finished. The mark is one sector,
which a disk writes whole or not at all.

The mark has two stages. While `MAKING`, the file system is being written and was never mounted: it is written again.
Once `MADE`, it is whole, and only its layout is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

SECTOR = 512
# ext4 begins after these; both sectors are ours while the mark stands, and the second stays zero.
RESERVED = 1024
_MAGIC = b"REHOST UNFINISHED HOME 1\n"
_DIGEST = 32
MAKING = "making"
MADE = "made"


@dataclass(frozen=True)
class Mark:
    """Which content this is the beginning of, and the uuid of the file system that is being made for it."""

    content_id: str
    filesystem: str
    stage: str = MAKING

    @staticmethod
    def new(content_id: str) -> "Mark":
        return Mark(content_id, str(uuid.uuid4()))

    def sector(self) -> bytes:
        words = {"contentId": self.content_id, "filesystem": self.filesystem, "stage": self.stage}
        body = (_MAGIC + json.dumps(words).encode() + b"\n").ljust(SECTOR - _DIGEST, b"\0")
        if len(body) != SECTOR - _DIGEST:
            raise ValueError(f"content id {self.content_id} is too long for the mark")
        return body + hashlib.sha256(body).digest()


def read(device: Path) -> Optional[Mark]:
    """The mark on a disk, or nothing where there is none or it is not whole."""
    with open(device, "rb", buffering=0) as disk:
        raw = disk.read(RESERVED)
    body, digest, rest = raw[: SECTOR - _DIGEST], raw[SECTOR - _DIGEST : SECTOR], raw[SECTOR:]
    if not body.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest or any(rest):
        return None
    words = json.loads(body[len(_MAGIC) :].rstrip(b"\0"))
    return Mark(words["contentId"], words["filesystem"], words["stage"])


def write(device: Path, mark: Mark) -> None:
    """Sets or replaces the mark, and returns when it is on the disk."""
    _put(device, mark.sector())


def remove(device: Path) -> None:
    """Takes the mark away: from now on the disk holds somebody's content."""
    _put(device, bytes(SECTOR))


def _put(device: Path, sector: bytes) -> None:
    # O_EXCL on a block device fails while anything has it mounted.
    descriptor = os.open(device, os.O_WRONLY | os.O_EXCL)
    try:
        os.pwrite(descriptor, sector, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
