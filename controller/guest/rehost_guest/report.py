"""What the host says of itself. A later report replaces an earlier one; only the last one matters."""

from __future__ import annotations

import json
import threading
import time
from typing import Callable, Dict, Optional

from .metadata import MetadataServer, MetadataUnavailable

NAMESPACE = "rehost"
KEY = "report"
PREPARING = "Preparing"
STANDBY = "Standby"
SERVING = "Serving"
RELEASED = "Released"
FAILED = "Failed"
_MESSAGE_MAX = 500
_RETRY_MAX_S = 30.0


class Reporter:
    """Keeps the last report, and brings it to whoever is to have it, again and again until it is there."""

    def __init__(self, boot_id: str, deliver: "Optional[Callable[[str], None]]") -> None:
        self._boot_id, self._deliver = boot_id, deliver
        self._changed = threading.Condition()
        self._text = self._line = ""
        if deliver is not None:
            threading.Thread(target=self._keep_delivering, daemon=True, name="reports").start()

    def say(self, nonce: str, state: str, details: Dict[str, object]) -> None:
        """Replaces the report. One that says nothing new is not sent again."""
        report = {"bootId": self._boot_id, "nonce": nonce, "state": state}
        report.update({name: value for name, value in details.items() if value not in (None, "", [])})
        if "message" in report:
            report["message"] = str(report["message"])[:_MESSAGE_MAX]
        text = json.dumps(report, sort_keys=True)
        with self._changed:
            if text == self._text:
                return
            self._text = text
            self._changed.notify_all()
        line = f"rehost: {state} {report.get('message', '')}".rstrip()
        if line != self._line:
            print(line, flush=True)
        self._line = line

    def last(self) -> str:
        """The last report as JSON; empty before the first."""
        with self._changed:
            return self._text

    def _keep_delivering(self) -> None:
        delivered, pause_s = "", 0.2
        while True:
            with self._changed:
                while self._text == delivered:
                    self._changed.wait()
                text = self._text
            try:
                self._deliver(text)
                delivered, pause_s = text, 0.2
            except (MetadataUnavailable, KeyError) as why:
                print(f"rehost: the report was not taken, another try follows: {why}", flush=True)
                time.sleep(pause_s)
                pause_s = min(_RETRY_MAX_S, pause_s * 2)


def by_guest_attribute(metadata: MetadataServer) -> Callable[[str], None]:
    """Delivers as a guest attribute of the instance."""
    return lambda text: metadata.put_guest_attribute(NAMESPACE, KEY, text)
