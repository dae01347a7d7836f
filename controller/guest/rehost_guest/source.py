"""The course repository: cloned when absent, fast-forwarded only when its tree is clean, never over somebody's work.

git runs as the person, for the home is theirs. What a repository brings along (hooks, helpers named by a URL) is not
run, and nothing but https and ssh is spoken.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from .commands import CommandFailed, run
from .paths import Paths
from .settings import Source

_TIMEOUT_S = 3600
_LOCAL_TIMEOUT_S = 300
_CAREFUL = [
    "-c", "protocol.allow=never", "-c", "protocol.https.allow=always", "-c", "protocol.ssh.allow=always",
    "-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
    # A server that says nothing for a minute is given up.
    "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60",
]  # fmt: skip


def follow(source: Source, paths: Paths, credential: Mapping[str, str]) -> Dict[str, object]:
    """Brings the repository to where the settings want it, as far as that touches nobody's work, and says how it is."""
    git = _Git(paths, credential)
    place = paths.home / source.path
    try:
        failure, message = _bring(git, source, place, paths.home)
    except (CommandFailed, OSError) as why:
        failure, message = _reason(str(why)), str(why)
    return {**look(paths, source, git), "failure": failure, "message": message}


def look(paths: Paths, source: Source, git: "Optional[_Git]" = None) -> Dict[str, object]:
    """The revision and whether the tree is dirty; neither, where there is no repository yet."""
    git = git or _Git(paths, {})
    place = paths.home / source.path
    try:
        return {"revision": git.head(place), "dirty": git.is_dirty(place)}
    except (CommandFailed, OSError):
        return {"revision": None, "dirty": None}


def _bring(git: "_Git", source: Source, place: Path, home: Path) -> "tuple[Optional[str], str]":
    if os.path.realpath(place.parent) != str(home / Path(source.path).parent):
        return "PathEscapes", f"~/{source.path} leads out of the home through a link"
    if not os.path.lexists(place):
        _clone(git, source, place)
        return None, ""
    if not (place / ".git").exists():
        return "PathTaken", f"~/{source.path} is there and is not a repository: it is left alone"
    if git.origin(place) != source.repository:
        return "OtherRepository", f"~/{source.path} is a repository of another origin: it is left alone"
    return _forward(git, source, place)


def _clone(git: "_Git", source: Source, place: Path) -> None:
    """Clones beside, then renames: a clone that was cut off is never taken for the person's."""
    beside = place.with_name(f".rehost-clone-{place.name}")
    git.person(["rm", "-rf", "--", str(beside)])
    git.person(["mkdir", "-p", "--", str(place.parent)])
    git.remote(["clone", "-q", "--no-checkout", "--", source.repository, str(beside)])
    if source.reference:
        target = git.branch(beside, source.reference)
        switch = (
            ["checkout", "-q", "-B", source.reference, "--track", target]
            if target
            else ["checkout", "-q", "--detach", git.commit(beside, source.reference)]
        )
        git.at(beside, switch)
    else:
        git.at(beside, ["checkout", "-q"])
    # -T and -n: never into, never over what may have come there meanwhile.
    git.person(["mv", "-T", "-n", "--", str(beside), str(place)])


def _forward(git: "_Git", source: Source, place: Path) -> "tuple[Optional[str], str]":
    if git.is_dirty(place):
        return "Dirty", "there is work that is not committed: nothing was fetched into it"
    git.remote(["-C", str(place), "fetch", "-q", "--prune", "--tags", "origin"])
    current = git.current_branch(place)
    wanted = source.reference or current
    if not wanted:
        return None, ""
    target = git.branch(place, wanted)
    if target and current == wanted:
        return _merge(git, place, target)
    if not git.is_published(place):
        return "Diverged", "there are commits that are nowhere else: another reference is not checked out over them"
    if target:
        git.at(
            place,
            ["checkout", "-q", wanted]
            if git.has_local(place, wanted)
            else ["checkout", "-q", "-b", wanted, "--track", target],
        )
        return _merge(git, place, target)
    git.at(place, ["checkout", "-q", "--detach", git.commit(place, wanted)])
    return None, ""


def _merge(git: "_Git", place: Path, target: str) -> "tuple[Optional[str], str]":
    try:
        git.at(place, ["merge", "-q", "--ff-only", target])
        return None, ""
    except CommandFailed:
        return "Diverged", f"there are commits that {target} has not: nothing was merged"


# Words of git's and ssh's, and what they mean.
_REASONS = (
    (("authentication", "could not read username", "permission denied (", "403", "401"), "NotPermitted"),
    (("not found", "unknown revision", "needed a single revision"), "NotFound"),
    (
        ("unable to access", "could not resolve", "could not connect", "connection", "timed out", "took too long"),
        "Unreachable",
    ),
)


def _reason(said: str) -> str:
    lowered = said.lower()
    return next((reason for words, reason in _REASONS if any(word in lowered for word in words)), "Failed")


class _Git:
    """git as the person, with our cautions on every command line."""

    def __init__(self, paths: Paths, credential: Mapping[str, str]) -> None:
        self._environment = {
            "HOME": str(paths.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": "https:ssh",
            "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
            **{name: value for name, value in os.environ.items() if name in ("GIT_SSL_CAINFO", "SSL_CERT_FILE")},
            **credential,
        }

    def person(self, argv: List[str], timeout_s: float = _LOCAL_TIMEOUT_S) -> str:
        return run(argv, timeout_s=timeout_s, environment=self._environment, as_user=True).stdout

    def remote(self, arguments: List[str]) -> None:
        self.person(["git", *_CAREFUL, *arguments], _TIMEOUT_S)

    def at(self, place: Path, arguments: List[str]) -> str:
        return self.person(["git", *_CAREFUL, "-C", str(place), *arguments])

    def head(self, place: Path) -> str:
        return self.at(place, ["rev-parse", "--verify", "HEAD"]).strip()

    def origin(self, place: Path) -> str:
        return self.at(place, ["config", "--get", "remote.origin.url"]).strip()

    def is_dirty(self, place: Path) -> bool:
        return bool(self.at(place, ["status", "--porcelain"]).strip())

    def current_branch(self, place: Path) -> str:
        """The branch that is checked out, or nothing where HEAD is detached."""
        return self.at(place, ["branch", "--show-current"]).strip()

    def branch(self, place: Path, name: str) -> Optional[str]:
        """The remote's branch of that name, where it has one."""
        return f"origin/{name}" if self._knows(place, f"refs/remotes/origin/{name}") else None

    def has_local(self, place: Path, name: str) -> bool:
        return self._knows(place, f"refs/heads/{name}")

    def commit(self, place: Path, reference: str) -> str:
        """A tag's or an abbreviated commit's full name."""
        return self.at(place, ["rev-parse", "--verify", "--end-of-options", f"{reference}^{{commit}}"]).strip()

    def is_published(self, place: Path) -> bool:
        """Whether what is checked out is reachable from anything that was fetched."""
        return bool(
            self.at(place, ["for-each-ref", "--count=1", "--contains", "HEAD", "refs/remotes", "refs/tags"]).strip()
        )

    def _knows(self, place: Path, reference: str) -> bool:
        try:
            self.at(place, ["show-ref", "--verify", "--quiet", reference])
            return True
        except CommandFailed:
            return False
