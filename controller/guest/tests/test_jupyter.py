"""A real JupyterLab behind the guest's identity provider: who gets in, and what own settings cannot change."""

import hashlib
import http.cookiejar
import json
import os
import socket
import subprocess
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .support import Scratch

from rehost_guest import activity, jupyter
from rehost_guest.access import Access
from rehost_guest.paths import Paths
from rehost_guest.settings import parse

PYTHON = os.environ.get("REHOST_JUPYTER", str(Path.home() / ".cache/rehost/jupyter/bin/python"))
TOKEN = "a-token-of-the-operators"
WEAK = """
from jupyter_server.auth.identity import IdentityProvider
c.ServerApp.token = "weak"
c.IdentityProvider.token = "weak"
c.TokenHashIdentityProvider.token = "weak"
c.PasswordIdentityProvider.hashed_password = ""
c.ServerApp.password = ""
c.ServerApp.identity_provider_class = "jupyter_server.auth.identity.IdentityProvider"
c.ServerApp.disable_check_xsrf = True
c.ServerApp.allow_origin = "*"
c.ServerApp.allow_origin_pat = ".*"
c.ServerApp.allow_credentials = True
c.ServerApp.allow_unauthenticated_access = True
weak = IdentityProvider(token="weak")
c.ServerApp.tornado_settings = {"disable_check_xsrf": True, "xsrf_cookies": False, "identity_provider": weak}
c.ServerApp.port = 1
c.ServerApp.certfile = "/nowhere"
c.ServerApp.base_url = "/elsewhere"
c.LabApp.default_url = "/lab/tree/notes"
"""
TYPES = """
import asyncio, json, sys
from tornado.websocket import websocket_connect

async def types():
    terminal = await websocket_connect(sys.argv[1])
    await terminal.read_message()
    await terminal.write_message(json.dumps(["stdin", sys.argv[2] + "\\r"]))
    await asyncio.sleep(0.5)

asyncio.run(types())
"""


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def document(port: int, **more: object) -> str:
    words = {"notebook": "team-a/taxi", "uid": "u", "role": "Serve", "nonce": "n", "port": port}
    home = {"device": "home", "contentId": "content-1", "format": False}
    return json.dumps({**words, "home": home, "tokenHashes": [hash_of(TOKEN)], **more})


@unittest.skipUnless(os.access(PYTHON, os.X_OK), f"needs JupyterLab at {PYTHON}")
class JupyterCase(Scratch):
    base = "/"
    own_settings = ""

    def setUp(self) -> None:
        super().setUp()
        self.paths = Paths(self.scratch)
        self.paths.make()
        config = self.paths.home / ".jupyter"
        config.mkdir(parents=True)
        (config / "jupyter_server_config.py").write_text(self.own_settings)
        for name in ("runtime", "no-settings"):
            (self.paths.jupyter / name).mkdir(mode=0o700)
        (self.paths.jupyter / "cookie-secret").write_text("00" * 32)
        self.access = Access(self.paths.jupyter / "access.json", self.paths.private / "token")
        self.settings = parse(document(free_port(), basePath=self.base))
        self.access.allow(self.settings.token_hashes)
        self.api = jupyter.Api(self.settings, self.access.token)
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self.start()

    def start(self) -> None:
        argv = jupyter.command(PYTHON, self.settings, self.paths)
        if os.geteuid() == 0:
            argv = [word for word in argv if "allow_root" not in word] + ["--ServerApp.allow_root=True"]
        (self.paths.jupyter / jupyter.GO).touch()
        around = {**jupyter.environment(self.paths, own_settings=True), "PYTHONDONTWRITEBYTECODE": "1"}
        self.log = open(self.scratch / "log", "w+")
        self.server = subprocess.Popen(argv, env=around, cwd=self.paths.home, stdout=self.log, stderr=self.log)
        self.addCleanup(self.stop)
        deadline = time.monotonic() + 90
        while not self.api.answers():
            self.assertIsNone(self.server.poll(), self.said())
            self.assertLess(time.monotonic(), deadline, self.said())
            time.sleep(0.2)

    def stop(self) -> None:
        self.server.terminate()
        self.server.wait(timeout=30)
        self.log.close()

    def said(self) -> str:
        return (self.scratch / "log").read_text()[-4000:]

    def code(self, path: str, opener=None, **headers: str) -> int:
        opener = opener or urllib.request.build_opener()
        try:
            return opener.open(urllib.request.Request(self.url + path, headers=headers), timeout=20).status
        except urllib.error.HTTPError as why:
            return why.code

    def browser(self) -> "tuple[urllib.request.OpenerDirector, http.cookiejar.CookieJar]":
        jar = http.cookiejar.CookieJar()
        return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)), jar

    def log_in(self, token: str) -> "tuple[int, urllib.request.OpenerDirector, str]":
        opener, jar = self.browser()
        opener.open(f"{self.url}{self.base}login", timeout=20).read()
        xsrf = next(cookie.value for cookie in jar if cookie.name == "_xsrf")
        form = urllib.parse.urlencode({"password": token, "_xsrf": xsrf}).encode()
        try:
            answer = opener.open(f"{self.url}{self.base}login?next={self.base}api/status", form, timeout=20)
            return answer.status, opener, xsrf
        except urllib.error.HTTPError as why:
            return why.code, opener, xsrf

    def post_kernel(self, opener, **headers: str) -> int:
        request = urllib.request.Request(
            f"{self.url}{self.base}api/kernels", b"{}", {"Content-Type": "application/json", **headers}
        )
        try:
            return opener.open(request, timeout=60).status
        except urllib.error.HTTPError as why:
            return why.code


class Entering(JupyterCase):
    def test_who_gets_in(self) -> None:
        self.assertEqual(self.code("/api"), 200, "the readiness probe has no token")
        self.assertTrue(self.api.is_closed())
        for path in ("/api/contents", "/api/kernels", "/api/status", "/api/terminals", "/api/me"):
            self.assertEqual(self.code(path), 403, path)
        self.assertIn("/login", urllib.request.urlopen(f"{self.url}/lab", timeout=20).url)
        right, wrong = f"token {TOKEN}", f"token {hash_of(TOKEN)}"
        self.assertEqual(self.code("/api/status", Authorization=right), 200)
        self.assertEqual(self.code("/api/status", Authorization=wrong), 403, "the hash is not the token")
        self.assertEqual(self.code("/api/status", Authorization="token "), 403)
        self.assertEqual(self.code(f"/api/status?token={TOKEN}"), 200)

    def test_the_form_logs_in_and_its_cookie_needs_the_xsrf_token(self) -> None:
        self.assertEqual(self.log_in("wrong")[0], 401)
        self.assertEqual(self.log_in("")[0], 401)
        code, opener, xsrf = self.log_in(TOKEN)
        self.assertEqual(code, 200, self.said())
        self.assertEqual(self.code("/lab", opener), 200)
        self.assertEqual(self.post_kernel(opener), 403, "a post without the XSRF token")
        self.assertEqual(self.post_kernel(opener, **{"X-XSRFToken": xsrf}), 201)
        self.assertEqual(self.post_kernel(urllib.request.build_opener(), Authorization=f"token {TOKEN}"), 201)

    def test_a_revoked_token_ends_its_cookies_without_a_restart(self) -> None:
        _, opener, _ = self.log_in(TOKEN)
        self.access.allow([hash_of("the next token"), hash_of(TOKEN)])
        self.assertEqual(self.code("/api/status", opener), 200, "both hold while keys rotate")
        self.access.allow([hash_of("the next token")])
        self.assertEqual(self.code("/api/status", opener), 403)
        self.assertEqual(self.code("/api/status", Authorization=f"token {TOKEN}"), 403)
        self.assertEqual(self.code("/api/status", Authorization="token the next token"), 200)
        os.unlink(self.access.file)
        self.assertEqual(self.code("/api/status", Authorization="token the next token"), 403)

    def test_a_login_outlives_the_server(self) -> None:
        _, opener, _ = self.log_in(TOKEN)
        self.stop()
        self.start()
        self.assertEqual(self.code("/api/status", opener), 200)

    def test_nothing_secret_is_said_or_written(self) -> None:
        self.log_in(TOKEN)
        self.code(f"/lab?token={TOKEN}")
        self.code("/api/status", Authorization=f"token {self.access.token}")
        for secret in (TOKEN, self.access.token):
            for file in (path for path in self.paths.run.rglob("*") if path.is_file()):
                if file.parent != self.paths.private:
                    self.assertNotIn(secret, file.read_text(errors="replace"), str(file))
            self.assertNotIn(secret, self.said())

    def test_activity(self) -> None:
        seen = activity.observe(self.api, self.server.pid)
        self.assertEqual((seen["kernels"], seen["busyKernels"], seen["terminals"], seen["busyTerminals"]), (0, 0, 0, 0))
        before = seen["lastActivity"]
        for _ in range(3):
            activity.observe(self.api, self.server.pid)
        self.assertEqual(activity.observe(self.api, self.server.pid)["lastActivity"], before, "asking is no activity")
        with_token = {"Authorization": f"token {TOKEN}"}
        self.assertEqual(self.post_kernel(urllib.request.build_opener(), **with_token), 201)
        self.assertEqual(activity.observe(self.api, self.server.pid)["busyKernels"], 1, "not yet known to be idle")
        request = urllib.request.Request(f"{self.url}/api/terminals", b"", with_token, method="POST")
        self.assertEqual(urllib.request.urlopen(request, timeout=20).status, 200)
        self.until(lambda seen: seen["terminals"] == 1 and seen["busyTerminals"] == 0)
        self.type("sleep 300")
        self.until(lambda seen: seen["busyTerminals"] == 1)
        self.assertIsNone(activity.observe(self.api, None))
        self.stop()
        self.assertIsNone(activity.observe(self.api, self.server.pid), "what is not known is not reported")

    def type(self, line: str) -> None:
        """Types a line into the first terminal."""
        address = f"ws://127.0.0.1:{self.settings.port}/terminals/websocket/1?token={TOKEN}"
        subprocess.run([PYTHON, "-c", TYPES, address, line], check=True, timeout=60)

    def until(self, wanted) -> None:
        deadline = time.monotonic() + 20
        while not wanted(activity.observe(self.api, self.server.pid)):
            self.assertLess(time.monotonic(), deadline, str(activity.observe(self.api, self.server.pid)))
            time.sleep(0.2)


class Weakening(JupyterCase):
    """The person's own settings try everything."""

    base = "/team-a/taxi/"
    own_settings = WEAK

    def test_own_settings_cannot_weaken_access(self) -> None:
        self.assertTrue(self.api.is_closed())
        self.assertEqual(self.code("/team-a/taxi/api/status", Authorization="token weak"), 403)
        self.assertEqual(self.log_in("weak")[0], 401)
        code, opener, xsrf = self.log_in(TOKEN)
        self.assertEqual(code, 200, self.said())
        self.assertEqual(self.post_kernel(opener), 403, "XSRF stays on")
        request = urllib.request.Request(
            f"{self.url}/team-a/taxi/api/status", headers={"Origin": "https://evil.example"}
        )
        with self.assertRaises(urllib.error.HTTPError) as caught:
            opener.open(request, timeout=20)
        self.assertIsNone(caught.exception.headers.get("Access-Control-Allow-Origin"))
        info = next((self.paths.jupyter / "runtime").glob("jpserver-*.json")).read_text()
        self.assertNotIn("weak", info)

    def test_other_settings_of_theirs_hold(self) -> None:
        opener = self.log_in(TOKEN)[1]
        self.assertTrue(opener.open(f"{self.url}/team-a/taxi/", timeout=20).url.endswith("/team-a/taxi/lab/tree/notes"))


if __name__ == "__main__":
    unittest.main()
