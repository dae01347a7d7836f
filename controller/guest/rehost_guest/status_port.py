"""The last report over HTTP, for who shows a token whose SHA-256 is in the settings. The way of a pod, and of a VM
where guest attributes are forbidden."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import threading
from typing import Callable

_IDLE_S = 10
_AT_ONCE = 8


class StatusPort:
    """Answers `GET /report` on one port, with 401 for who is not known."""

    def __init__(
        self, port: int, token_hash: Callable[[], str], report: Callable[[], str], address: str = "0.0.0.0"
    ) -> None:
        seats = threading.BoundedSemaphore(_AT_ONCE)

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _IDLE_S
            server_version, sys_version = "rehost", ""

            def do_GET(self) -> None:
                with seats:
                    self._answer()

            def _answer(self) -> None:
                if not _is_known(self.headers.get("Authorization", ""), token_hash()):
                    self._send(401, "")
                elif self.path != "/report" or not report():
                    self._send(404, "")
                else:
                    self._send(200, report())

            def _send(self, code: int, text: str) -> None:
                body = text.encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Requests are not logged: there is nothing in them for people."""

        self._server = http.server.ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True, name="status port").start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _is_known(header: str, token_hash: str) -> bool:
    scheme, _, token = header.partition(" ")
    shown = hashlib.sha256(token.strip().encode()).hexdigest()
    return scheme.lower() == "bearer" and hmac.compare_digest(shown, token_hash)
