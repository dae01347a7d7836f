"""Makes the file system of a new home, so that a crash at any point leaves either a marked disk or a finished one."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from . import device as disks
from . import unfinished
from .commands import run

LABEL = "rehost-home"
# What every kernel and e2fsprogs since Debian 9 knows: the disk must mount on any image that comes later.
_FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize,metadata_csum"
)
_COPY_BYTES = 1 << 20


def make(device: Path, content_id: str, scratch: Path) -> None:
    """Writes a new file system to a disk that is blank or carries our mark, and leaves it marked as made.

    The file system is made in a sparse file under `scratch` and copied from there, because mkfs would wipe the mark.
    """
    mark = unfinished.read(device)
    if mark is None:
        mark = unfinished.Mark.new(content_id)
        unfinished.write(device, mark)
    image = scratch / "home.ext4"
    try:
        _make_image(image, disks.size(device), mark.filesystem)
        _copy(image, device)
    finally:
        image.unlink(missing_ok=True)
    unfinished.write(device, replace(mark, stage=unfinished.MADE))


def _make_image(image: Path, size: int, uuid: str) -> None:
    image.unlink(missing_ok=True)
    with open(image, "wb") as empty:
        empty.truncate(size)
    # The disk reads as zeros, so tables and journal need not be written: this takes under a second for any size.
    extended = "nodiscard,lazy_itable_init=1,lazy_journal_init=1,root_owner=1000:1000"
    run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-L", LABEL, "-U", uuid]
        + ["-O", _FEATURES, "-E", extended, str(image)],
        timeout_s=600,
    )


def _copy(image: Path, device: Path) -> None:
    """Copies all that is in the file, but not the sectors of the mark."""
    source = os.open(image, os.O_RDONLY)
    target = os.open(device, os.O_WRONLY | os.O_EXCL)
    try:
        end = os.lseek(source, 0, os.SEEK_END)
        at = _next(source, unfinished.RESERVED, os.SEEK_DATA, end)
        while at < end:
            stop = _next(source, at, os.SEEK_HOLE, end)
            while at < stop:
                chunk = os.pread(source, min(_COPY_BYTES, stop - at), at)
                at += os.pwrite(target, chunk, at)
            at = _next(source, at, os.SEEK_DATA, end)
        os.fsync(target)
    finally:
        os.close(source)
        os.close(target)


def _next(descriptor: int, at: int, what: int, end: int) -> int:
    try:
        return os.lseek(descriptor, at, what)
    except OSError:
        # ENXIO: there is nothing more.
        return end
