"""A pod as a host: the init container's check, and what the notebook's container makes of it. Needs no root."""

import json
import os
import unittest

from .support import Scratch
from .test_jupyter import document

from rehost_guest.home import Refused
from rehost_guest.paths import Paths
from rehost_guest.pod import PodHost, check
from rehost_guest.settings import parse


class PodCase(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.paths = Paths(self.scratch)
        self.paths.make()
        self.disk, self.said = self.scratch / "home-disk", self.scratch / "termination-log"
        self.disk.mkdir()
        (self.disk / "lost+found").mkdir()
        self.file = self.scratch / "settings.json"

    def check(self, content_id: str = "content-1", **home: object) -> int:
        words = {"device": "home", "contentId": content_id, "format": False, **home}
        self.file.write_text(document(8888, home=words))
        return check(self.paths, self.file, self.disk, self.said)

    def take(self) -> PodHost:
        host = PodHost(self.paths, self.file)
        host.take_home(parse(self.file.read_text()))
        return host

    def files(self) -> "dict[str, bytes]":
        return {str(path): path.read_bytes() for path in self.disk.rglob("*") if path.is_file()}


class Checking(PodCase):
    def test_an_empty_disk_gets_its_layout_and_is_the_same_content_ever_after(self) -> None:
        self.assertEqual(self.check(format=True), 0)
        (self.disk / "home/work").write_text("all of it")
        self.take()
        secret = (self.paths.jupyter / "cookie-secret").read_text()
        self.assertEqual(self.check(), 0)
        self.assertEqual(self.check(format=True), 0)
        self.assertEqual((self.disk / "home/work").read_text(), "all of it")
        self.take()
        self.assertEqual((self.paths.jupyter / "cookie-secret").read_text(), secret)

    def test_a_copy_gets_an_id_and_a_secret_of_its_own(self) -> None:
        self.check(format=True)
        secret = (self.disk / ".rehost/cookie-secret").read_text()
        self.assertEqual(self.check("content-2", copiedFrom="content-1"), 0)
        self.assertEqual((self.disk / ".rehost/content-id").read_text(), "content-2\n")
        self.assertNotEqual((self.disk / ".rehost/cookie-secret").read_text(), secret)
        self.assertEqual(self.check("content-1"), 1)

    def test_what_is_refused_is_said_and_left_as_it_is(self) -> None:
        self.assert_refused("an empty disk where content is expected")
        (self.disk / "thesis.tex").write_text("years of work")
        self.assert_refused("somebody's files", format=True)
        (self.disk / "thesis.tex").unlink()
        self.check(format=True)
        self.assert_refused("other content", content_id="content-2", format=True)

    def assert_refused(self, why: str, **home: object) -> None:
        before = self.files()
        self.assertEqual(self.check(**home), 1, why)
        self.assertEqual(json.loads(self.said.read_text())["failure"], "ContentMismatch", why)
        self.assertEqual(self.files(), before, why)


    def test_folders_for_buckets_are_made_and_nothing_of_the_persons_is_touched(self) -> None:
        self.check(format=True)
        home, outside = self.disk / "home", self.scratch / "outside"
        outside.mkdir()
        (home / "taken").write_text("mine")
        (home / "link").symlink_to(outside)
        paths = ["data", "results/2026", "taken", "link/in"]
        buckets = [{"path": path, "name": "team-data"} for path in paths]
        words = {"device": "home", "contentId": "content-1", "format": False}
        self.file.write_text(document(8888, home=words, buckets=buckets))
        self.assertEqual(check(self.paths, self.file, self.disk, self.said), 0)
        self.assertTrue((home / "data").is_dir() and (home / "results/2026").is_dir())
        self.assertEqual((home / "taken").read_text(), "mine")
        self.assertEqual(os.listdir(outside), [])


class Taking(PodCase):
    def test_only_what_was_checked_for_these_settings_is_served(self) -> None:
        with self.assertRaises(OSError):
            self.file.write_text(document(8888))
            self.take()
        self.check(format=True)
        self.take()
        home = {"device": "home", "contentId": "content-2", "format": False}
        self.file.write_text(document(8888, home=home))
        with self.assertRaises(Refused):
            self.take()

    def test_secrets_are_for_this_user_only(self) -> None:
        self.check(format=True)
        self.take()
        for file in (self.paths.jupyter / "cookie-secret", self.paths.run / "checked-home.json"):
            self.assertEqual(os.stat(file).st_mode & 0o077, 0, str(file))

    def test_a_change_of_the_settings_is_seen_and_buckets_are_the_pods_volumes(self) -> None:
        self.check(format=True)
        host = self.take()
        text, etag = host.settings("")
        self.file.write_text(document(8888, nonce="n-2", buckets=[{"path": "data", "name": "team-data"}]))
        news, other = host.settings(etag)
        self.assertNotEqual((news, other), (text, etag))
        states = host.bucket_states(parse(news).buckets)
        self.assertEqual([(state["mounted"], state["reason"]) for state in states], [(False, "NotMounted")])


if __name__ == "__main__":
    unittest.main()
