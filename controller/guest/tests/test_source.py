"""The repository, with a real git over https: cloned when absent, forwarded only when clean."""

import functools
import http.server
import os
import ssl
import subprocess
import threading
import unittest
from pathlib import Path
from unittest import mock

from .support import Scratch, sh

from rehost_guest import source
from rehost_guest.credentials import CredentialsMissing, fetch, offered
from rehost_guest.metadata import MetadataServer
from rehost_guest.paths import Paths
from rehost_guest.settings import Source

from .fake_metadata import FakeMetadata

TOKEN = "a-deploy-token"


class SourceCase(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.scratch.chmod(0o755)
        self.paths = Paths(self.scratch)
        self.paths.make()
        self.paths.home.mkdir(parents=True)
        os.chown(self.paths.home, *((1000, 1000) if os.geteuid() == 0 else (-1, -1)))
        self.served = self.scratch / "served"
        self.work = self.scratch / "work"
        self.work.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "teacher@example.org")
        self.git("config", "user.name", "Teacher")
        self.commit("lesson.txt", "one")
        self.git("tag", "v1")
        sh("git", "clone", "-q", "--bare", str(self.work), str(self.served / "course.git"))
        self.publish()
        self.asks_for_token = False
        self.serve()
        self.place = self.paths.home / "course"

    def git(self, *arguments: str) -> str:
        return sh("git", "-C", str(self.work), *arguments)

    def commit(self, name: str, text: str) -> None:
        (self.work / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", text)

    def publish(self) -> None:
        bare = str(self.served / "course.git")
        self.git("push", "-q", "--force", "--all", bare)
        self.git("push", "-q", "--force", "--tags", bare)
        sh("git", "-C", bare, "update-server-info")

    def serve(self) -> None:
        """The repository as files, which is all that git needs to clone."""
        certificate, key = self.scratch / "certificate.pem", self.scratch / "key.pem"
        sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
           "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate))  # fmt: skip
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                # "teacher:a-deploy-token"
                if (
                    outer.asks_for_token
                    and self.headers.get("Authorization") != "Basic dGVhY2hlcjphLWRlcGxveS10b2tlbg=="
                ):
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="course"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    super().do_GET()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Handler, directory=str(self.served))
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        trusted = mock.patch.dict(os.environ, {"GIT_SSL_CAINFO": str(certificate)})
        trusted.start()
        self.addCleanup(trusted.stop)
        self.url = f"https://127.0.0.1:{server.server_address[1]}/course.git"

    def follow(self, reference: str = "", path: str = "course", credential: str = "", url: str = "") -> dict:
        with offered(credential, self.paths) as around:
            return source.follow(Source(url or self.url, path, reference), self.paths, around)

    def theirs(self, *arguments: str) -> str:
        """git as the person, in their clone."""
        identity = [
            "-c",
            "user.email=student@example.org",
            "-c",
            "user.name=Student",
            "-c",
            f"safe.directory={self.place}",
        ]
        return sh("git", *identity, "-C", str(self.place), *arguments)

    def text(self, name: str = "lesson.txt") -> str:
        return (self.place / name).read_text()

    def write(self, name: str, text: str) -> None:
        (self.place / name).write_text(text)


class Following(SourceCase):
    def test_it_is_cloned_then_forwarded_while_it_is_clean(self) -> None:
        found = self.follow()
        self.assertEqual((found["failure"], found["dirty"], self.text()), (None, False, "one"), found)
        self.assertEqual(found["revision"], self.git("rev-parse", "HEAD").strip())
        if os.geteuid() == 0:
            self.assertEqual(os.stat(self.place / "lesson.txt").st_uid, 1000)
        self.commit("lesson.txt", "two")
        self.publish()
        self.assertEqual((self.follow()["revision"], self.text()), (self.git("rev-parse", "HEAD").strip(), "two"))
        self.assertEqual([it.name for it in self.paths.home.iterdir()], ["course"], "nothing is left beside it")

    def test_a_dirty_tree_is_left_alone(self) -> None:
        self.follow()
        for name in ("lesson.txt", "notes.txt"):
            with self.subTest(name=name):
                self.write(name, "mine")
                self.commit("lesson.txt", f"three {name}")
                self.publish()
                found = self.follow()
                self.assertEqual((found["failure"], found["dirty"], self.text(name)), ("Dirty", True, "mine"))
                self.theirs("checkout", "-q", "--", ".")

    def test_commits_of_theirs_are_left_alone(self) -> None:
        self.follow()
        self.write("mine.txt", "mine")
        self.theirs("add", "-A")
        self.theirs("commit", "-q", "-m", "mine")
        mine = self.theirs("rev-parse", "HEAD")
        sh("chown", "-R", "1000:1000", str(self.place))
        self.commit("lesson.txt", "two")
        self.git("branch", "dev")
        self.publish()
        for reference in ("", "main", "dev", "v1"):
            self.assertEqual(self.follow(reference)["failure"], "Diverged", reference)
            self.assertEqual(self.theirs("rev-parse", "HEAD"), mine)

    def test_a_change_of_reference_is_followed(self) -> None:
        self.commit("lesson.txt", "two")
        self.git("checkout", "-q", "-b", "dev")
        self.commit("lesson.txt", "dev")
        self.publish()
        first = self.git("rev-parse", "v1").strip()
        for reference, text in (("v1", "one"), ("main", "two"), ("dev", "dev"), (first, "one"), ("main", "two")):
            found = self.follow(reference)
            self.assertEqual((found["failure"], self.text()), (None, text), f"{reference}: {found}")
        self.assertEqual(self.follow("nowhere")["failure"], "NotFound")
        self.assertEqual(self.text(), "two")

    def test_a_clone_that_was_cut_off_is_begun_again(self) -> None:
        beside = self.paths.home / ".rehost-clone-course"
        beside.mkdir()
        (beside / "half").touch()
        sh("chown", "-R", "1000:1000", str(beside))
        self.assertIsNone(self.follow()["failure"])
        self.assertFalse(beside.exists())


class Refusing(SourceCase):
    def test_what_is_in_the_way_is_left_alone(self) -> None:
        self.place.mkdir()
        self.write("thesis.tex", "years of work")
        self.assertEqual(self.follow()["failure"], "PathTaken")
        self.assertEqual(self.text("thesis.tex"), "years of work")

    def test_a_repository_of_another_origin_is_left_alone(self) -> None:
        self.follow()
        sh("cp", "-r", str(self.served / "course.git"), str(self.served / "other.git"))
        self.assertEqual(self.follow(url=self.url.replace("course.git", "other.git"))["failure"], "OtherRepository")

    def test_a_link_leads_nowhere(self) -> None:
        (self.paths.home / "away").symlink_to("/tmp")
        self.assertEqual(self.follow(path="away/course")["failure"], "PathEscapes")

    def test_what_is_not_there_or_does_not_answer(self) -> None:
        self.assertEqual(self.follow(url=self.url.replace("course", "none"))["failure"], "NotFound")
        self.assertEqual(self.follow(url="https://127.0.0.1:1/course.git")["failure"], "Unreachable")
        self.assertFalse(self.place.exists())

    def test_other_protocols_are_not_spoken(self) -> None:
        proof = self.scratch / "proof"
        for url in (f"ext::sh -c touch% {proof}", f"file://{self.served}/course.git", str(self.served / "course.git")):
            self.assertIsNotNone(self.follow(url=url)["failure"], url)
        self.assertFalse(proof.exists() or self.place.exists())

    def test_submodules_and_hooks_are_not_run(self) -> None:
        self.follow()
        hook = self.place / ".git/hooks/post-merge"
        proof = self.paths.home / "proof"
        hook.write_text(f"#!/bin/sh\ntouch {proof}\n")
        hook.chmod(0o755)
        self.commit("lesson.txt", "two")
        self.publish()
        self.assertIsNone(self.follow()["failure"])
        self.assertFalse(proof.exists())


class MountedSecret(Scratch):
    def entries(self, **entries: str) -> str:
        folder = self.scratch / "mounted"
        # As the kubelet writes them: links into a folder that it replaces.
        (folder / "..data").mkdir(parents=True, exist_ok=True)
        for name, text in entries.items():
            (folder / "..data" / name).write_text(text)
            (folder / name).symlink_to(f"..data/{name}")
        return str(folder)

    def test_each_form_of_a_secret_is_read(self) -> None:
        for entries, read in (
            ({"ssh-privatekey": "-----BEGIN", "known_hosts": "x"}, "-----BEGIN"),
            ({"username": "me\n", "password": "secret\n"}, "me:secret"),
            ({"anything": TOKEN}, TOKEN),
        ):
            with self.subTest(entries=list(entries)):
                self.assertEqual(fetch(self.entries(**entries), MetadataServer()), read)
                for name in entries:
                    (self.scratch / "mounted" / name).unlink()

    def test_a_secret_that_is_not_there_is_said_without_what_is_in_it(self) -> None:
        for entries in ({}, {"one": "secret-1", "two": "secret-2"}):
            with self.assertRaises(CredentialsMissing) as caught:
                fetch(self.entries(**entries), MetadataServer())
            self.assertIn("ssh-privatekey", str(caught.exception))
            self.assertNotIn("secret-", str(caught.exception))


class Credentials(SourceCase):
    def test_a_private_repository_is_cloned_with_a_token_that_leaves_no_trace(self) -> None:
        self.asks_for_token = True
        self.assertEqual(self.follow()["failure"], "NotPermitted")
        self.assertEqual(self.follow(credential="teacher:wrong")["failure"], "NotPermitted")
        found = self.follow(credential=f"teacher:{TOKEN}")
        self.assertEqual((found["failure"], self.text()), (None, "one"), found)
        left = subprocess.run(["grep", "-r", TOKEN, str(self.paths.home), str(self.paths.run)], stdout=subprocess.PIPE)
        self.assertEqual(left.stdout, b"")

    def test_a_key_is_offered_to_ssh(self) -> None:
        with offered("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----", self.paths) as around:
            key = Path(around["GIT_SSH_COMMAND"].split(" ")[2])
            self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        self.assertFalse(key.exists())

    def test_secret_manager_is_asked_with_the_hosts_own_identity(self) -> None:
        fake = FakeMetadata()
        self.addCleanup(fake.close)
        asked = []

        class Manager(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers["Authorization"]))
                there = self.path == "/v1/projects/p/secrets/s/versions/latest:access"
                body = b'{"payload": {"data": "dGVhY2hlcjp0b2tlbg=="}}' if there else b"a-secret-in-an-error"
                self.send_response(200 if there else 403)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Manager)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        metadata = MetadataServer(fake.address)
        self.assertEqual(fetch("projects/p/secrets/s", metadata, endpoint), "teacher:token")
        self.assertEqual(asked[0][1], "Bearer of-the-host")
        with self.assertRaises(CredentialsMissing) as caught:
            fetch("projects/p/secrets/t", metadata, endpoint)
        self.assertEqual(str(caught.exception), "projects/p/secrets/t was answered with 403")
        with self.assertRaises(CredentialsMissing):
            fetch("/nowhere/key", metadata)


if __name__ == "__main__":
    unittest.main()
