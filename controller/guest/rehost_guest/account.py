"""The account that the notebook's person has on a host: whoever has uid 1000 there, whatever the image calls them."""

from __future__ import annotations

import grp
import pwd

from .commands import run
from .paths import GROUP_ID, USER_ID, Paths

_NAMES = ("jupyter", "notebook", "rehost")


def ensure(paths: Paths) -> str:
    """Makes the account where the image has none with this uid, and returns its name."""
    try:
        return pwd.getpwuid(USER_ID).pw_name
    except KeyError:
        pass
    # An image may use the name for another uid: the number is a part of the disk, the name is not.
    taken = {it.pw_name for it in pwd.getpwall()}
    name = next(name for name in _NAMES if name not in taken)
    _ensure_group(name)
    run(
        ["useradd", "--no-create-home", "--home-dir", str(paths.home), "--shell", "/bin/bash"]
        + ["--uid", str(USER_ID), "--gid", str(GROUP_ID), name],
        timeout_s=60,
    )
    return name


def _ensure_group(name: str) -> None:
    try:
        grp.getgrgid(GROUP_ID)
    except KeyError:
        taken = {it.gr_name for it in grp.getgrall()}
        run(["groupadd", "--gid", str(GROUP_ID), name if name not in taken else f"{name}-group"], timeout_s=60)
