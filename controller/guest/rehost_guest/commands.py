"""Runs other programs: always with a time limit, never through a shell, never inheriting our standard input."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Mapping, Optional, Sequence

from .paths import GROUP_ID, USER_ID


class CommandFailed(Exception):
    """A program ended with an error, was not there, or took too long."""

    def __init__(self, argv: Sequence[str], code: Optional[int], said: str) -> None:
        self.code = code
        self.said = last_lines(said)
        super().__init__(f"{argv[0]} {'took too long' if code is None else f'ended with {code}'}: {self.said}")


def last_lines(text: str, characters_max: int = 400) -> str:
    """The end of what a program said, on one line."""
    return " ".join(text.split())[-characters_max:]


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    allowed: Sequence[int] = (0,),
    environment: Optional[Mapping[str, str]] = None,
    as_user: bool = False,
) -> subprocess.CompletedProcess:
    """Runs a program to its end and returns what it said, as text.

    `as_user` runs it as the notebook's person, with no group but theirs. Raises `CommandFailed`.
    """
    change = {"user": USER_ID, "group": GROUP_ID, "extra_groups": []} if as_user and os.geteuid() == 0 else {}
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environment is None else dict(environment),
            start_new_session=True,
            **change,
        )
    except OSError as why:
        raise CommandFailed(argv, 127, str(why)) from why
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as why:
        os.killpg(process.pid, signal.SIGKILL)
        _, err = process.communicate()
        raise CommandFailed(argv, None, err.decode(errors="replace")) from why
    done = subprocess.CompletedProcess(
        list(argv), process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
    )
    if done.returncode not in allowed:
        raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
    return done
