"""Work on a thread of its own, so that the supervisor can hear of a change of the settings meanwhile."""

from __future__ import annotations

import threading
from typing import Callable, Optional


class Task:
    """Runs a function once. What it raises is kept."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.error: Optional[Exception] = None
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as why:
            self.error = why

    def ended(self) -> bool:
        return not self._thread.is_alive()
