"""Buckets: which units are made for them, and what is said of one that is not mounted."""

import os
import unittest
from unittest import mock

from .support import Scratch

from rehost_guest import buckets
from rehost_guest.buckets import Buckets
from rehost_guest.paths import Paths
from rehost_guest.settings import Bucket
from rehost_guest.units import service, words

DATA = Bucket("data", "team-data")


class StubUnits:
    def __init__(self) -> None:
        self.running, self.last_words = {}, ""

    def ensure(self, name: str, text: str) -> None:
        self.running[name] = text

    def remove(self, name: str, timeout_s: float) -> None:
        self.running.pop(name, None)

    def is_active(self, name: str) -> bool:
        return name in self.running

    def names(self, prefix: str) -> "list[str]":
        return sorted(self.running)

    def said(self, name: str, since_s=None) -> str:
        return self.last_words


class BucketCase(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.scratch.chmod(0o755)
        self.paths = Paths(self.scratch)
        self.paths.home.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(self.paths.home, 1000, 1000)
        program = self.scratch / "gcsfuse"
        program.touch(mode=0o755)
        path = mock.patch.dict(os.environ, {"PATH": f"{self.scratch}:{os.environ['PATH']}"})
        path.start()
        self.addCleanup(path.stop)
        self.units = StubUnits()
        self.buckets = Buckets(self.units, self.paths)

    def reason(self, bucket: Bucket) -> "str | None":
        return self.buckets.states([bucket])[0]["reason"]


class Mounting(BucketCase):
    def test_each_bucket_has_a_unit_that_follows_the_settings(self) -> None:
        other = Bucket("in/put", "team-input", prefix="taxi/2026/", read_only=True)
        self.buckets.follow([DATA, other])
        texts = sorted(self.units.running.values())
        self.assertEqual(len(texts), 2)
        self.assertTrue(
            any(f'"team-data" "{self.paths.home}/data"' in text and "--only-dir" not in text for text in texts)
        )
        self.assertTrue(any('"--only-dir" "taxi/2026" "-o" "ro" "team-input"' in text for text in texts))
        self.assertTrue(all("User=1000" in text for text in texts), "fusermount3 checks what the person may do")
        self.buckets.follow([other])
        self.assertEqual(len(self.units.running), 1)
        self.buckets.let_go()
        self.assertEqual(self.units.running, {})

    def test_why_a_bucket_is_not_there(self) -> None:
        self.buckets.follow([DATA])
        self.assertEqual(self.reason(DATA), "Mounting")
        for said, reason in (
            ("Error: bucket doesn't exist", "BucketNotFound"),
            ("googleapi: Error 403: nb@p does not have storage.objects.list access", "NotPermitted"),
            ("google: could not find default credentials", "NoIdentity"),
            ("something else", "Failed"),
        ):
            self.units.last_words = said
            with mock.patch.object(buckets, "_PATIENCE_S", 0):
                self.assertEqual(self.reason(DATA), reason)

    def test_a_mount_alone_is_no_bucket(self) -> None:
        """gcsfuse mounts what is not there too: it looks empty then, and only gcsfuse's words tell."""
        self.buckets.follow([DATA])
        mounted = mock.Mock(point=str(self.paths.home / "data"), kind="fuse.gcsfuse")
        with mock.patch.object(buckets.mounts, "all_mounts", return_value=[mounted]):
            self.units.last_words = "ReadDir: storage: bucket doesn't exist: googleapi: Error 404"
            self.assertEqual(self.reason(DATA), "BucketNotFound")
            self.units.last_words = "File system has been successfully mounted."
            self.assertEqual(
                self.buckets.states([DATA]), [{"path": "data", "mounted": True, "reason": None, "message": ""}]
            )


class Refusing(BucketCase):
    def refused(self, reason: str) -> None:
        self.buckets.follow([DATA])
        self.assertEqual((self.reason(DATA), self.units.running), (reason, {}))

    def test_nothing_of_the_persons_is_hidden(self) -> None:
        (self.paths.home / "data").mkdir()
        (self.paths.home / "data/mine").touch()
        self.refused("PathTaken")

    def test_a_link_leads_nowhere(self) -> None:
        (self.paths.home / "data").symlink_to("/etc")
        self.refused("PathEscapes")

    def test_without_gcsfuse(self) -> None:
        (self.scratch / "gcsfuse").unlink()
        self.refused("NotInstalled")


class Units(unittest.TestCase):
    def test_nothing_in_a_command_is_expanded(self) -> None:
        self.assertEqual(words(["a b", '$HOME"%i\\']), '"a b" "$$HOME\\"%%i\\\\"')
        with self.assertRaises(ValueError):
            words(["a\nExecStart=evil"])

    def test_a_kernel_that_takes_too_much_memory_ends_alone(self) -> None:
        self.assertIn("OOMPolicy=continue", service("x", ["y"], {"A": "50%"}, []))
        self.assertIn('Environment="A=50%%"', service("x", ["y"], {"A": "50%"}, []))


if __name__ == "__main__":
    unittest.main()
