"""A metadata server for tests: attributes that can change, waiting requests, guest attributes."""

from __future__ import annotations

import hashlib
import http.server
import threading
import urllib.parse
from typing import Dict


class FakeMetadata:
    """Serves on a free port of the loopback; `attributes` and `guest_attributes` are for the test to look at."""

    def __init__(self) -> None:
        self.attributes: Dict[str, str] = {}
        self.guest_attributes: Dict[str, str] = {}
        self.forbids_guest_attributes = False
        self.requests: "list[str]" = []
        self.changed = threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._get(self)

            def do_PUT(self) -> None:
                outer._put(self)

            def log_message(self, format: str, *arguments: object) -> None:
                outer.requests.append(format % arguments)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def set(self, key: str, value: str) -> None:
        with self.changed:
            self.attributes[key] = value
            self.changed.notify_all()

    def _get(self, handler) -> None:
        address = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        key = address.path.rsplit("/", 1)[1]
        if handler.headers.get("Metadata-Flavor") != "Google":
            return _answer(handler, 403)
        if address.path.endswith("/service-accounts/default/token"):
            return _answer(handler, 200, '{"access_token": "of-the-host", "expires_in": 3600}')
        with self.changed:
            if "wait_for_change" in query:
                wait = float(query["timeout_sec"])
                self.changed.wait_for(lambda: _etag(self.attributes.get(key)) != query["last_etag"], wait)
            value = self.attributes.get(key)
        return _answer(handler, 404) if value is None else _answer(handler, 200, value, _etag(value))

    def _put(self, handler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        if self.forbids_guest_attributes:
            return _answer(handler, 403)
        with self.changed:
            self.guest_attributes["/".join(handler.path.rsplit("/", 2)[1:])] = body
            self.changed.notify_all()
        return _answer(handler, 200)


def _etag(value) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()[:16]


def _answer(handler, code: int, text: str = "", etag: str = "") -> None:
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(text.encode())))
    if etag:
        handler.send_header("ETag", etag)
    handler.end_headers()
    handler.wfile.write(text.encode())
