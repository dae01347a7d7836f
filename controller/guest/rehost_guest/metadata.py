"""The instance's metadata server: settings come from there, and reports go there as guest attributes."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Optional, Tuple

ADDRESS = "http://169.254.169.254"
# The server answers a waiting request at the latest after this; a connection that a suspended machine has lost is
# given up a little later.
WAIT_S = 60
_MARGIN_S = 15
_REQUEST_TIMEOUT_S = 10


class MetadataUnavailable(Exception):
    """The metadata server did not answer as it should."""


class MetadataServer:
    """A client of the metadata server at `address`. Knows no proxies: nobody else is to see these requests."""

    def __init__(self, address: str = ADDRESS) -> None:
        self._base = f"{address}/computeMetadata/v1/instance/"
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def _ask(self, path: str, timeout_s: float, body: Optional[bytes] = None) -> Tuple[str, str]:
        request = urllib.request.Request(
            self._base + path, data=body, method="GET" if body is None else "PUT", headers={"Metadata-Flavor": "Google"}
        )
        try:
            with self._open(request, timeout=timeout_s) as answer:
                return answer.read().decode(), answer.headers.get("ETag", "")
        except urllib.error.HTTPError as why:
            if why.code == 404:
                raise KeyError(path) from why
            raise MetadataUnavailable(f"{path} was answered with {why.code}") from why
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as why:
            raise MetadataUnavailable(f"{path}: {why}") from why

    def attribute(self, key: str) -> str:
        """The value of an attribute. Raises `KeyError` where there is none."""
        return self._ask(f"attributes/{key}", _REQUEST_TIMEOUT_S)[0]

    def changed_attribute(self, key: str, last_etag: str) -> Tuple[str, str]:
        """Waits until an attribute differs from the one with `last_etag`, at most `WAIT_S`, and returns it with its
        etag. With an etag of 0 or one that has passed, it answers at once."""
        query = urllib.parse.urlencode({"wait_for_change": "true", "last_etag": last_etag, "timeout_sec": WAIT_S})
        return self._ask(f"attributes/{key}?{query}", WAIT_S + _MARGIN_S)

    def put_guest_attribute(self, namespace: str, key: str, value: str) -> None:
        """Publishes a guest attribute. Fails where the project forbids guest attributes."""
        self._ask(f"guest-attributes/{namespace}/{key}", _REQUEST_TIMEOUT_S, value.encode())

    def access_token(self) -> str:
        """A token of the instance's own service account. Raises `KeyError` where it has none."""
        answer, _ = self._ask("service-accounts/default/token", _REQUEST_TIMEOUT_S)
        return json.loads(answer)["access_token"]


def retry_pause(attempt: int) -> None:
    """Waits between two tries: longer each time, at most 5 s."""
    time.sleep(min(5.0, 0.2 * 2**attempt))
