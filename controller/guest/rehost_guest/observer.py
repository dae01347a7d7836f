"""What is seen of a serving host: activity, buckets, the repository, the home. Looked at on a thread of its own,
because a Jupyter that hangs or a bucket that does not answer must not keep the host from letting go."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from . import activity, kernel_environment, source
from .credentials import CredentialsMissing, offered
from .jupyter import Api
from .paths import Paths
from .settings import Settings

_LOOK_S = 5.0
# Activity changes all the time while somebody works: it is told this often at most.
_ACTIVITY_EVERY = 3
# git reads every file of the tree.
_SOURCE_EVERY = 12
# With less than that a notebook can hardly be saved.
_ROOM_BYTES = 1 << 20


# What it finds, by name.
FOUND = ("kernels", "buckets", "source", "activity", "silence", "homeTrouble")


class Observer:
    """Looks again and again, until it is closed. Brings the repository and the kernels' environment about first."""

    def __init__(self, host: Any, wanted: Settings, paths: Paths, api: Api, secret: Callable[[str], str]) -> None:
        self._host, self._wanted, self._paths, self._api, self._secret = host, wanted, paths, api, secret
        self._found: Dict[str, Any] = {"kernels": kernel_environment.report("Making")}
        self._silent = 0
        self._closed = threading.Event()
        for name, work in (("observer", self._look_on), ("background", self._bring_about)):
            threading.Thread(target=work, daemon=True, name=name).start()

    def close(self) -> None:
        """What is still under way ends by itself; its findings are nobody's any more."""
        self._closed.set()

    def found(self) -> Dict[str, Any]:
        """What is known so far."""
        return dict(self._found)

    def _bring_about(self) -> None:
        if self._wanted.source is not None:
            self._found["source"] = self._follow_source()
        if not self._closed.is_set():
            self._found["kernels"] = kernel_environment.ensure(self._wanted, self._paths)

    def _follow_source(self) -> Dict[str, Any]:
        wanted = self._wanted.source
        try:
            credential = self._secret(wanted.secret) if wanted.secret else ""
        except CredentialsMissing as why:
            seen = source.look(self._paths, wanted)
            return {**seen, "failure": "CredentialsMissing", "message": str(why)}
        with offered(credential, self._paths) as around:
            return source.follow(wanted, self._paths, around)

    def _look_on(self) -> None:
        turn = 0
        while not self._closed.is_set():
            self._found["buckets"] = self._host.bucket_states(self._wanted.buckets)
            if turn % _ACTIVITY_EVERY == 0:
                self._look_at_jupyter()
            if turn % _SOURCE_EVERY == 0 and "source" in self._found:
                self._found["source"] = {**self._found["source"], **source.look(self._paths, self._wanted.source)}
            self._found["homeTrouble"] = trouble_of(self._paths.home)
            turn += 1
            self._closed.wait(_LOOK_S)

    def _look_at_jupyter(self) -> None:
        seen = activity.observe(self._api, self._host.service.pid())
        self._found["activity"] = seen
        # Once is a restart; more is something that a person should know.
        self._silent = 0 if seen is not None else self._silent + 1
        said = self._host.service.said() if self._silent > 1 else ""
        self._found["silence"] = f"Jupyter does not answer, and is started again when it ends: {said}" if said else ""


def trouble_of(home: Path) -> Optional[Dict[str, str]]:
    """What is wrong with the home's file system, in a word and a sentence; none when it is well."""
    try:
        found = os.statvfs(home)
    except OSError as why:
        return _trouble("Unreadable", f"the home cannot be read: {why.strerror}")
    if found.f_flag & os.ST_RDONLY:
        return _trouble(
            "ReadOnly",
            "the home turned read-only after an error of its disk: what was saved before is safe, restart the notebook",
        )
    if found.f_bavail * found.f_frsize < _ROOM_BYTES or found.f_favail == 0:
        return _trouble(
            "Full", "the home is full: nothing that was saved is lost; delete something, or raise spec.storage.size"
        )
    return None


def _trouble(reason: str, message: str) -> Dict[str, str]:
    return {"reason": reason, "message": message}
