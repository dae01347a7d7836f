"""The home disk: what may be served from it, and how it is mounted, laid out, grown and let go.

The root of the disk holds `home/`, which the person sees, and `.rehost/`, which nobody sees. The root belongs to
1000:1000 with mode 2775, so that a pod's `fsGroup` finds it right and never walks the files.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Optional

from . import device as disks
from . import making, mounts, unfinished
from .commands import CommandFailed, run
from .paths import GROUP_ID, USER_ID
from .settings import Home

CONTENT_MISMATCH = "ContentMismatch"
FOREIGN_FILESYSTEM = "ForeignFilesystem"
FILESYSTEM_DAMAGED = "FilesystemDamaged"
_ROOT_MODE = 0o2775


class Refused(Exception):
    """Nothing is served from this disk, and nothing on it was changed."""

    def __init__(self, failure: str, message: str, content_id: Optional[str] = None) -> None:
        super().__init__(message)
        self.failure, self.content_id = failure, content_id


def take(device: Path, wanted: Home, point: Path, scratch: Path) -> bool:
    """Checks a disk against what is wanted, makes it where that is allowed, and mounts it at `point`.

    Returns whether the file system fills its disk. Raises `Refused`, having changed nothing, or `CommandFailed` and
    `OSError` where the machine is at fault and another try may do.
    """
    mark = unfinished.read(device)
    if mark is not None:
        _finish(device, wanted, mark, point, scratch)
    elif _is_blank(device, wanted):
        making.make(device, wanted.content_id, scratch)
        _lay_out_new(device, wanted, point)
    elif not _expected(device, wanted, scratch):
        _adopt_empty(device, wanted, point)
    _check(device)
    mounts.mount_disk(device, point)
    if read_id(point) != wanted.content_id:
        _rewrite_id(device, wanted, point)
    _own(point)
    return _grow_now(device, point)


def _finish(device: Path, wanted: Home, mark: unfinished.Mark, point: Path, scratch: Path) -> None:
    """A disk that we began to make: nobody's content was ever on it."""
    if not wanted.format or mark.content_id != wanted.content_id:
        raise Refused(
            CONTENT_MISMATCH,
            f"the disk was being made for content {mark.content_id}, but {wanted.content_id} is expected",
            mark.content_id,
        )
    found = disks.signatures(device)
    ours = found.get("TYPE") == "ext4" and found.get("UUID") == mark.filesystem and "PTTYPE" not in found
    if not ours and (found or mark.stage == unfinished.MADE):
        raise Refused(FOREIGN_FILESYSTEM, f"the unfinished disk carries {_named(found)}, which is not ours")
    if mark.stage == unfinished.MAKING:
        making.make(device, wanted.content_id, scratch)
    _lay_out_new(device, wanted, point)


def _is_blank(device: Path, wanted: Home) -> bool:
    """Whether the disk may be formatted. Raises `Refused` for whatever is neither blank nor an ext4."""
    found = disks.signatures(device)
    if found.get("TYPE") == "ext4" and "PTTYPE" not in found:
        return False
    if found:
        raise Refused(FOREIGN_FILESYSTEM, f"the disk carries {_named(found)}, which is not ours")
    if not disks.reads_as_zeros(device):
        raise Refused(FOREIGN_FILESYSTEM, "the disk carries data without a known signature")
    if not wanted.format:
        raise Refused(CONTENT_MISMATCH, f"the disk is blank where content {wanted.content_id} is expected")
    return True


def _named(found: dict) -> str:
    return found.get("TYPE") or f"a partition table ({found.get('PTTYPE', 'of an unknown kind')})"


def _expected(device: Path, wanted: Home, scratch: Path) -> bool:
    """Whether an ext4 carries the content that is wanted: true; nothing at all, where that is right: false."""
    if _is_wanted(disks.content_id(device), wanted):
        return True
    block = disks.superblock(device)
    if block is None or not block.needs_recovery:
        return _judge(device, wanted)
    # The id, or somebody's files, may be in the journal only. It is replayed with every replaced block kept, so that
    # a refusal can put them back.
    undo = scratch / "journal.undo"
    undo.unlink(missing_ok=True)
    try:
        run(["e2fsck", "-y", "-E", "journal_only", "-z", str(undo), str(device)], timeout_s=3600, allowed=(0, 1))
        return _judge(device, wanted)
    except (Refused, CommandFailed):
        if undo.exists():
            run(["e2undo", str(undo), str(device)], timeout_s=3600)
        raise
    finally:
        undo.unlink(missing_ok=True)


def _is_wanted(found: Optional[str], wanted: Home) -> bool:
    return found is not None and found in (wanted.content_id, wanted.copied_from)


def _judge(device: Path, wanted: Home) -> bool:
    found = disks.content_id(device)
    if _is_wanted(found, wanted):
        return True
    if found is not None:
        raise Refused(CONTENT_MISMATCH, f"the disk carries content {found}, but {wanted.content_id} is expected", found)
    # A CSI driver formats a blank disk by itself: then there is a file system, and nothing in it.
    if wanted.format and disks.is_empty(device):
        return False
    raise Refused(
        CONTENT_MISMATCH, f"the disk carries an ext4 without a content id, but {wanted.content_id} is expected"
    )


def _lay_out_new(device: Path, wanted: Home, point: Path) -> None:
    """Writes the layout to a file system that we made. The mark goes last, when all of it is on the disk."""
    _check(device)
    mounts.mount_disk(device, point)
    lay_out(point, wanted.content_id)
    mounts.unmount_below(point, patience_s=30)
    unfinished.remove(device)


def _adopt_empty(device: Path, wanted: Home, point: Path) -> None:
    """Writes the layout to an empty file system that a CSI driver made. Nothing is overwritten."""
    _check(device)
    mounts.mount_disk(device, point)
    lay_out(point, wanted.content_id)
    # An unmount writes the journal back, so that the id is found without replaying it.
    mounts.unmount_below(point, patience_s=30)


def _check(device: Path) -> None:
    """Replays the journal and repairs what can be repaired without a decision."""
    try:
        # 1: repaired. 2: a reboot is advised, which is for a mounted root only.
        run(["e2fsck", "-p", str(device)], timeout_s=3600, allowed=(0, 1, 2, 3))
    except CommandFailed as why:
        if why.code is not None and why.code & 4:
            raise Refused(
                FILESYSTEM_DAMAGED, f"the file system is damaged, and a person must look at it: {why.said}"
            ) from why
        raise


def lay_out(point: Path, content_id: str) -> None:
    """Writes the layout of a home to a mounted disk, the id last: with an id, everything else is there."""
    (point / "home").mkdir(exist_ok=True)
    os.chmod(point / "home", 0o755)
    (point / ".rehost").mkdir(mode=0o755, exist_ok=True)
    _own(point)
    write_id(point, content_id)


def _own(point: Path) -> None:
    """Corrects the folders and what is ours beside the home, never what is in the home. Without root's powers they are
    already as good as they get. What a VM has written, a pod must read, which is no root."""
    if os.geteuid() != 0:
        return
    (point / "home").mkdir(exist_ok=True)
    ours = point / ".rehost"
    for path in (point, point / "home", ours, *ours.iterdir()):
        found = os.lstat(path)
        if (found.st_uid, found.st_gid) != (USER_ID, GROUP_ID):
            os.chown(path, USER_ID, GROUP_ID, follow_symlinks=False)
    if os.stat(point).st_mode & 0o7777 != _ROOT_MODE:
        os.chmod(point, _ROOT_MODE)


def read_id(point: Path) -> Optional[str]:
    """The id that a mounted disk carries, or nothing."""
    try:
        return (point / ".rehost/content-id").read_text().strip()
    except FileNotFoundError:
        return None


def write_id(point: Path, content_id: str) -> None:
    """Writes the id in place of an earlier one, whole or not at all. A copy gets a cookie secret of its own."""
    folder = point / ".rehost"
    (folder / "cookie-secret").unlink(missing_ok=True)
    _write_whole(folder / "content-id", f"{content_id}\n")


def _rewrite_id(device: Path, wanted: Home, point: Path) -> None:
    """The disk is a copy of `copied_from`, and from now on content of its own."""
    if not _is_wanted(read_id(point), wanted):
        raise OSError(f"{device} changed its content id while it was mounted")
    write_id(point, wanted.content_id)
    mounts.unmount_below(point, patience_s=30)
    mounts.mount_disk(device, point)


def cookie_secret(point: Path) -> str:
    """The secret that signs the cookies of this content's people, so that a new host does not ask them to log in."""
    path = point / ".rehost/cookie-secret"
    if not path.exists():
        _write_whole(path, secrets.token_hex(32), mode=0o600)
    return path.read_text().strip()


def _write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    if os.geteuid() == 0:
        os.fchown(descriptor, USER_ID, GROUP_ID)
    with os.fdopen(descriptor, "w") as new:
        new.write(text)
        new.flush()
        os.fsync(new.fileno())
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def fills_disk(device: Path) -> bool:
    """Whether the file system is as large as its disk."""
    block = disks.superblock(device)
    return block is None or disks.size(device) // block.block_bytes <= block.blocks


def grow_online(device: Path) -> bool:
    """Grows a mounted file system to the size of its disk. False where the kernel does not let us."""
    if fills_disk(device):
        return True
    try:
        run(["resize2fs", str(device)], timeout_s=600)
        return True
    except CommandFailed:
        return False


def _grow_now(device: Path, point: Path) -> bool:
    """Grows a file system that nobody uses yet: mounted if that can be, else for a moment unmounted."""
    if grow_online(device):
        return True
    mounts.unmount_below(point, patience_s=30)
    try:
        run(["e2fsck", "-f", "-p", str(device)], timeout_s=3600, allowed=(0, 1, 2, 3))
        run(["resize2fs", str(device)], timeout_s=3600)
        return True
    except CommandFailed:
        # A disk that could not grow is still a good disk.
        return False
    finally:
        mounts.mount_disk(device, point)


def is_free(device: Path) -> bool:
    """Whether nothing has the device mounted, in any mount namespace: the kernel itself says so."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
        return True
    except OSError:
        return False
