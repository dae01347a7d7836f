"""systemd units of the guest's. All of them are in /run, so that none is there at the next boot."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Optional, Sequence

from .commands import CommandFailed, run
from .paths import GROUP_ID, USER_ID

_START_TIMEOUT_S = 60


def words(argv: Sequence[str]) -> str:
    """A command line as systemd reads it: nothing in it is expanded."""
    return " ".join(_quoted(str(word)).replace("$", "$$") for word in argv)


def _quoted(text: str) -> str:
    if "\n" in text:
        raise ValueError(f"a unit cannot carry a line break: {text!r}")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def service(description: str, argv: Sequence[str], environment: Mapping[str, str], lines: Sequence[str]) -> str:
    """A unit that runs a program as the notebook's person, always again when it ends, while the home is mounted."""
    settings = [f"Environment={_quoted(f'{name}={value}')}" for name, value in sorted(environment.items())]
    return "\n".join(
        ["[Unit]", f"Description={description}", "StartLimitIntervalSec=0", "After=home-jupyter.mount", "[Service]"]
        + [f"User={USER_ID}", f"Group={GROUP_ID}", "Restart=always", "RestartSec=1"]
        # Without this, one kernel that takes too much memory would end the server and every other kernel.
        + ["OOMPolicy=continue"]
        + settings
        + [f"ExecStart={words(argv)}"]
        + list(lines)
        + [""]
    )


class Units:
    """The units in one folder, and systemd's word on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ensure(self, name: str, text: str) -> None:
        """Starts a unit. One that runs already and says the same is left alone."""
        file = self.folder / name
        if not file.exists() or file.read_text() != text:
            self.folder.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            run(["systemctl", "daemon-reload"], timeout_s=_START_TIMEOUT_S)
            run(["systemctl", "restart", name], timeout_s=_START_TIMEOUT_S)
        elif not self.is_active(name):
            run(["systemctl", "start", name], timeout_s=_START_TIMEOUT_S)

    def remove(self, name: str, timeout_s: float) -> None:
        """Stops a unit and forgets it. One that is not there is as it should be."""
        run(["systemctl", "stop", name], timeout_s=timeout_s, allowed=(0, 5))
        if (self.folder / name).exists():
            (self.folder / name).unlink()
            run(["systemctl", "daemon-reload"], timeout_s=_START_TIMEOUT_S)
            run(["systemctl", "reset-failed", name], timeout_s=_START_TIMEOUT_S, allowed=(0, 1))

    def is_active(self, name: str) -> bool:
        return self.property(name, "ActiveState") in ("active", "activating")

    def property(self, name: str, key: str) -> str:
        return run(
            ["systemctl", "show", f"--property={key}", "--value", name], timeout_s=_START_TIMEOUT_S
        ).stdout.strip()

    def names(self, prefix: str) -> "list[str]":
        return sorted(it.name for it in self.folder.glob(f"{prefix}*.service"))

    def said(self, name: str, since_s: Optional[float] = None) -> str:
        """The last that the unit's program said, ever or since a time of the clock."""
        since = [] if since_s is None else [f"--since=@{int(since_s)}"]
        try:
            # On a busy machine the journal is behind what was said already.
            run(["journalctl", "--sync"], timeout_s=30)
            argv = ["journalctl", "-u", name, *since, "-n", "5", "-o", "cat", "-q", "--no-pager"]
            return run(argv, timeout_s=30).stdout
        except CommandFailed as why:
            return str(why)


def main_pid(units: Units, name: str) -> Optional[int]:
    """The process of a unit, while it runs."""
    pid = units.property(name, "MainPID")
    return int(pid) if pid.isdigit() and pid != "0" else None
