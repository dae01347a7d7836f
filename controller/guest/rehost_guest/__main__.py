"""`python3 -m rehost_guest vm`, `pod` or `check`: the supervisor of a VM, of a pod, and a pod's init container."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from typing import Any, Optional

from .credentials import fetch
from .init import under_init
from .metadata import MetadataServer, MetadataUnavailable
from .paths import Paths
from .pod import PodHost, check
from .report import Reporter, by_guest_attribute
from .settings import SettingsError, parse
from .status_port import StatusPort
from .supervisor import Supervisor
from .vm import VmHost

_RETRY_S = 2.0


def main(kind: str) -> int:
    """Runs until it is told to end."""
    paths = Paths()
    paths.make()
    if kind == "check":
        return check(paths)
    metadata = MetadataServer()
    host: Any = VmHost(paths, metadata) if kind == "vm" else PodHost(paths)
    reporter = Reporter(host.boot_id(), by_guest_attribute(metadata) if kind == "vm" else None)
    supervisor = Supervisor(host, paths, reporter, lambda secret: fetch(secret, metadata))
    threading.Thread(target=watch, args=(host, supervisor, reporter), daemon=True, name="settings").start()
    if kind == "vm":
        threading.Thread(target=watch_sleep, args=(host, supervisor), daemon=True, name="sleep").start()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    supervisor.run(ended)
    if kind == "pod":
        host.service.stop()
    return 0


def watch(host: Any, supervisor: Supervisor, reporter: Reporter) -> None:
    """Brings every change of the settings to the supervisor, at once."""
    etag, port = "0", _Port(reporter)
    while True:
        try:
            text, etag = host.settings(etag)
            wanted = parse(text)
            port.follow(wanted)
            supervisor.tell(wanted)
        except SettingsError as why:
            print(f"rehost: these settings are not followed: {why}", flush=True)
        except (MetadataUnavailable, KeyError, OSError) as why:
            print(f"rehost: there are no settings yet: {why}", flush=True)
            etag = "0"
            time.sleep(_RETRY_S)


def watch_sleep(host: Any, supervisor: Supervisor) -> None:
    """A machine that was suspended may wait for an answer that never comes: it asks anew when it wakes."""
    slept_s = _slept_s()
    while True:
        time.sleep(_RETRY_S / 2)
        if _slept_s() - slept_s > 1:
            print("rehost: the machine was suspended, and is awake again", flush=True)
            with contextlib.suppress(MetadataUnavailable, KeyError, SettingsError):
                supervisor.tell(parse(host.settings("0")[0]))
        slept_s = _slept_s()


def _slept_s() -> float:
    """How long the machine was suspended since it was started: what one clock counts and the other does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


class _Port:
    """The status port, where the settings want one."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._open: Optional[StatusPort] = None
        self._token_hash = ""

    def follow(self, wanted: Any) -> None:
        self._token_hash = wanted.status.token_hash if wanted.status else ""
        if wanted.status and self._open is None:
            self._open = StatusPort(wanted.status.port, lambda: self._token_hash, self._reporter.last)


if __name__ == "__main__":
    sys.exit(under_init(lambda: main(sys.argv[1])))
