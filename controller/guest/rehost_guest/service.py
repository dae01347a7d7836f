"""Keeps one program alive as the notebook's person: as a systemd unit on a VM, as a child in a pod."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Dict, List, Optional

from . import units as systemd
from .commands import last_lines
from .units import Units

# From the first request to end until whatever is left is ended.
STOP_S = 20
_PAUSE_MAX_S = 30


@dataclass(frozen=True)
class Program:
    """What is run, and with what around it."""

    argv: List[str]
    environment: Dict[str, str]


class UnitService:
    """A program under systemd. It outlives the supervisor, which finds it again."""

    NAME = "rehost-jupyter.service"
    # The server first, which ends its kernels in order; what is left of terminals and of what they started then gets
    # a signal too, and only after that is ended for good.
    _STOP = "/bin/sh -c 'kill -TERM $MAINPID; while kill -0 $MAINPID 2>/dev/null; do sleep 0.05; done'"

    def __init__(self, units: Units) -> None:
        self._units = units

    def start(self, program: Program) -> None:
        lines = [f"ExecStop={self._STOP}", f"TimeoutStopSec={STOP_S // 2}"]
        text = systemd.service("JupyterLab", program.argv, program.environment, lines)
        self._units.ensure(self.NAME, text)

    def stop(self) -> None:
        self._units.remove(self.NAME, timeout_s=STOP_S * 2)

    def kill(self) -> None:
        """Ends it at once: its home is gone, and there is nothing to be saved."""
        systemd.run(["systemctl", "kill", "--signal=SIGKILL", self.NAME], timeout_s=30, allowed=(0, 1, 5))
        self.stop()

    def pid(self) -> Optional[int]:
        return systemd.main_pid(self._units, self.NAME)

    def restarts(self) -> int:
        count = self._units.property(self.NAME, "NRestarts")
        return int(count) if count.isdigit() else 0

    def said(self) -> str:
        return last_lines(self._units.said(self.NAME))


class ChildService:
    """A program as our child. It ends with us, and with the pod."""

    def __init__(self) -> None:
        self._process: Optional[subprocess.Popen] = None
        self._wanted: Optional[Program] = None
        self._restarts = 0
        self._keeper: Optional[threading.Thread] = None

    def start(self, program: Program) -> None:
        if self._wanted == program:
            return
        self.stop()
        self._wanted, self._restarts = program, 0
        self._spawn(program)
        self._keeper = threading.Thread(target=self._keep, args=(program,), daemon=True)
        self._keeper.start()

    def _spawn(self, program: Program) -> None:
        self._process = subprocess.Popen(
            program.argv,
            env={**os.environ, **program.environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _keep(self, program: Program) -> None:
        while True:
            self._process.wait()
            if self._wanted is not program:
                return
            self._restarts += 1
            time.sleep(min(_PAUSE_MAX_S, self._restarts))
            if self._wanted is not program:
                return
            self._spawn(program)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        self._wanted = None
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pid(self) -> Optional[int]:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def restarts(self) -> int:
        return self._restarts

    def said(self) -> str:
        return f"it ended with {self._process.returncode}" if self._process and self._process.returncode else ""
