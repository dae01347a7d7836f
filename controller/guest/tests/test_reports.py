"""Settings in by a waiting request, reports out as a guest attribute or on the status port."""

import hashlib
import json
import threading
import time
import unittest
import urllib.error
import urllib.request

from . import support  # noqa: F401
from .fake_metadata import FakeMetadata

from rehost_guest import report
from rehost_guest.metadata import MetadataServer, MetadataUnavailable
from rehost_guest.report import Reporter, by_guest_attribute
from rehost_guest.status_port import StatusPort


class Metadata(unittest.TestCase):
    def setUp(self) -> None:
        self.fake = FakeMetadata()
        self.addCleanup(self.fake.close)
        self.server = MetadataServer(self.fake.address)

    def test_a_change_is_heard_at_once(self) -> None:
        self.fake.set("rehost-settings", "one")
        value, etag = self.server.changed_attribute("rehost-settings", "0")
        self.assertEqual(value, "one")
        heard = []
        waiting = threading.Thread(
            target=lambda: heard.append(self.server.changed_attribute("rehost-settings", etag)[0])
        )
        waiting.start()
        time.sleep(0.3)
        self.assertEqual(heard, [], "it waits while nothing changes")
        self.fake.set("rehost-settings", "two")
        waiting.join(timeout=5)
        self.assertEqual(heard, ["two"])

    def test_what_is_missing_and_what_does_not_answer(self) -> None:
        with self.assertRaises(KeyError):
            self.server.attribute("rehost-settings")
        with self.assertRaises(MetadataUnavailable):
            MetadataServer("http://127.0.0.1:1").attribute("rehost-settings")
        self.assertEqual(self.server.access_token(), "of-the-host")

    def test_a_report_arrives_the_last_one_wins_and_one_that_is_refused_comes_later(self) -> None:
        self.fake.forbids_guest_attributes = True
        reporter = Reporter("boot-1", by_guest_attribute(self.server))
        reporter.say("n-1", report.STANDBY, {"message": ""})
        reporter.say("n-1", report.SERVING, {"contentId": "c-1", "buckets": [], "message": "x" * 1000})
        time.sleep(0.5)
        self.assertEqual(self.fake.guest_attributes, {})
        self.fake.forbids_guest_attributes = False
        with self.fake.changed:
            self.assertTrue(self.fake.changed.wait_for(lambda: self.fake.guest_attributes, 10))
        said = json.loads(self.fake.guest_attributes["rehost/report"])
        expected = {"bootId": "boot-1", "nonce": "n-1", "state": "Serving", "contentId": "c-1", "message": "x" * 500}
        self.assertEqual(said, expected)

    def test_nothing_is_sent_while_nothing_is_new(self) -> None:
        reporter = Reporter("boot-1", by_guest_attribute(self.server))
        for _ in range(5):
            reporter.say("n-1", report.STANDBY, {})
            time.sleep(0.1)
        self.assertEqual(sum("PUT" in request for request in self.fake.requests), 1)


class Port(unittest.TestCase):
    def test_only_who_has_the_token_reads_the_report(self) -> None:
        token_hash = hashlib.sha256(b"status-token").hexdigest()
        reporter = Reporter("boot-1", None)
        port = StatusPort(0, lambda: token_hash, reporter.last, address="127.0.0.1")
        self.addCleanup(port.close)

        def ask(path: str, **headers: str) -> "tuple[int, str]":
            request = urllib.request.Request(f"http://127.0.0.1:{port.port}{path}", headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as why:
                return why.code, ""

        self.assertEqual(ask("/report")[0], 401)
        self.assertEqual(ask("/report", Authorization=f"Bearer {token_hash}")[0], 401)
        self.assertEqual(ask("/report", Authorization="Bearer status-token")[0], 404, "nothing was said yet")
        reporter.say("n-1", report.SERVING, {"contentId": "c-1"})
        code, text = ask("/report", Authorization="Bearer status-token")
        self.assertEqual((code, json.loads(text)["state"]), (200, "Serving"))
        self.assertEqual(ask("/etc/passwd", Authorization="Bearer status-token")[0], 404)


if __name__ == "__main__":
    unittest.main()
