"""How JupyterLab is started, and what it answers. `service.py` keeps it alive, `launch.py` is its first step."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Optional

from .paths import Paths
from .settings import Settings

# There while the home is: see `launch.py`.
GO = "go"
_TIMEOUT_S = 10
_LAUNCH = Path(__file__).resolve().parent / "launch.py"


class NoAnswer(Exception):
    """Jupyter did not answer as it should."""


def command(python: str, settings: Settings, paths: Paths) -> List[str]:
    """The command line. It wins over every settings file: what is said here, the person's own settings cannot change.

    `-s` keeps packages that the person installed for themselves out of the server; kernels do not inherit it.
    """
    said = {
        "ServerApp.identity_provider_class": "rehost_guest.identity.TokenHashIdentityProvider",
        "ServerApp.ip": "0.0.0.0",
        "ServerApp.port": settings.port,
        "ServerApp.port_retries": 0,
        "ServerApp.base_url": settings.base_path,
        "ServerApp.sock": "",
        "ServerApp.certfile": "",
        "ServerApp.keyfile": "",
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": False,
        "ServerApp.allow_remote_access": True,
        "ServerApp.allow_unauthenticated_access": False,
        "ServerApp.disable_check_xsrf": False,
        "ServerApp.allow_origin": "",
        "ServerApp.allow_origin_pat": "",
        "ServerApp.cookie_secret_file": paths.jupyter / "cookie-secret",
    }
    return [python, "-s", str(_LAUNCH)] + [f"--{name}={value}" for name, value in said.items()]


def environment(paths: Paths, own_settings: bool) -> Dict[str, str]:
    """The server's environment, which its terminals inherit too. Without `own_settings` the person's settings files
    are left out: the way to start when they are what keeps Jupyter down."""
    home = str(paths.home)
    found = {
        "HOME": home,
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PATH": f"{home}/.venv/bin:{home}/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
        "REHOST_ACCESS": str(paths.jupyter / "access.json"),
        "REHOST_GO": str(paths.jupyter / GO),
        "JUPYTER_RUNTIME_DIR": str(paths.jupyter / "runtime"),
        "JUPYTER_PATH": str(paths.jupyter / "share"),
    }
    if not own_settings:
        found["JUPYTER_CONFIG_DIR"] = str(paths.jupyter / "no-settings")
    return found


class Api:
    """Jupyter's own REST API, asked from the same machine."""

    def __init__(self, settings: Settings, token: str) -> None:
        self._base = f"http://127.0.0.1:{settings.port}{settings.base_path}api"
        self._token = token
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def get(self, path: str) -> Any:
        """What the guest is answered. Asking is not counted as activity."""
        mark = "&" if "?" in path else "?"
        code, body = self._ask(f"{path}{mark}no_track_activity=1", self._token)
        if code != 200:
            raise NoAnswer(f"{path} was answered with {code}")
        return json.loads(body)

    def answers(self) -> bool:
        """Whether it answers, as a probe would ask."""
        try:
            return self._ask("", None)[0] == 200
        except NoAnswer:
            return False

    def is_closed(self) -> bool:
        """Whether somebody without a token is turned away. Asked before serving: a door that is open is a failure."""
        return self._ask("/status", None)[0] == 403

    def _ask(self, path: str, token: Optional[str]) -> "tuple[int, bytes]":
        headers = {} if token is None else {"Authorization": f"token {token}"}
        try:
            with self._open(urllib.request.Request(self._base + path, headers=headers), timeout=_TIMEOUT_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as why:
            return why.code, b""
        except (OSError, http.client.HTTPException) as why:
            raise NoAnswer(f"Jupyter does not answer: {why}") from why
