"""The settings document: what the controller writes is read, and what is wrong is named."""

import json
import unittest

from . import support  # noqa: F401

from rehost_guest.settings import SettingsError, parse

WHOLE = {
    "notebook": "team-a/taxi",
    "uid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "role": "Serve",
    "nonce": "t1-serve",
    "home": {"device": "home", "contentId": "c-1", "format": True, "copiedFrom": "c-0"},
    "port": 8888,
    "basePath": "/team-a/taxi/",
    "tokenHashes": ["ab" * 32],
    "accelerators": 2,
    "buckets": [{"path": "data/team", "name": "team-a-data", "prefix": "taxi/", "readOnly": True}],
    "source": {
        "repository": "https://git.example/course.git",
        "path": "course",
        "ref": "main",
        "secret": "projects/p/secrets/s",
    },
    "kernels": {"python": "3.12", "packages": ["pandas>=2", "polars[all]"]},
    "status": {"port": 8889, "tokenHash": "cd" * 32},
    "packages": {"jupyterlab": "4.6.6", "index": "https://pypi.example/simple"},
}
LEAST = {name: WHOLE[name] for name in ("notebook", "uid", "role", "nonce", "port")}
LEAST["home"] = {"device": "home", "contentId": "c-1", "format": False}


class Reading(unittest.TestCase):
    def test_the_whole_document(self) -> None:
        found = parse(json.dumps(WHOLE))
        self.assertEqual(found.home.copied_from, "c-0")
        self.assertTrue(found.buckets[0].read_only)
        self.assertEqual(found.source.reference, "main")
        self.assertEqual(found.kernels.packages, ("pandas>=2", "polars[all]"))
        self.assertEqual(found.status.port, 8889)

    def test_the_least_document_and_fields_of_a_newer_controller(self) -> None:
        found = parse(json.dumps({**LEAST, "ofTheFuture": 1}))
        self.assertEqual((found.base_path, found.buckets, found.source, found.accelerators), ("/", (), None, 0))
        self.assertIsNone(found.home.copied_from)

    def test_what_is_wrong_is_named(self) -> None:
        for path, value in (
            ("role", "Sleep"),
            ("port", 0),
            ("port", True),
            ("nonce", "a\nb"),
            ("uid", "../x"),
            ("basePath", "/a b/"),
            ("tokenHashes", ["secret"]),
            ("home.device", "../sda"),
            ("home.format", "yes"),
            ("home.contentId", ""),
            ("buckets.path", "../etc"),
            ("buckets.path", "/etc"),
            ("buckets.path", "a/../../etc"),
            ("buckets.path", "-o"),
            ("buckets.name", "gs://b"),
            ("buckets.prefix", "a/../b"),
            ("source.repository", "ext::sh -c id"),
            ("source.repository", "https://h/x ext::y"),
            ("source.repository", "http://h/x"),
            ("source.repository", "git://h/x"),
            ("source.repository", "file:///etc"),
            ("source.repository", "ssh://-oProxyCommand=id/x"),
            ("source.repository", "ssh://git@-oProxyCommand=id/x"),
            ("source.repository", "--upload-pack=id"),
            ("source.ref", "--orphan"),
            ("source.ref", "a..b"),
            ("source.path", ".git"),
            ("source.secret", "latest"),
            ("kernels.packages", ["-r /etc/shadow"]),
            ("kernels.packages", ["--index-url=x"]),
            ("packages.index", "http://pypi.example"),
            ("packages.gcsfuse", "file:///x"),
            ("status.tokenHash", "x"),
        ):
            with self.subTest(path=path, value=value), self.assertRaises(SettingsError) as caught:
                parse(json.dumps(broken(path, value)))
            self.assertIn(path.rpartition(".")[2], str(caught.exception))

    def test_no_document_at_all(self) -> None:
        for text in ("", "[]", "nonsense", "null"):
            with self.assertRaises(SettingsError):
                parse(text)


def broken(path: str, value) -> dict:
    document = json.loads(json.dumps(WHOLE))
    holder, _, name = path.rpartition(".")
    place = document
    if holder:
        place = document[holder][0] if holder == "buckets" else document[holder]
    place[name] = value
    return document


if __name__ == "__main__":
    unittest.main()
