"""The Python of Jupyter's server: the image's when it is new enough, else one that is installed whole."""

import unittest
from pathlib import Path
from unittest import mock

from .support import Scratch

from rehost_guest import server_environment as module
from rehost_guest.commands import CommandFailed
from rehost_guest.settings import Packages


class Finding(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.ours, self.image = self.scratch / "ours", self.scratch / "image/bin/python"
        for name, value in (("OURS", self.ours), ("_IMAGES", (self.image,)), ("_ensure_venv", lambda progress: None)):
            self.patch(module, name, value)
        self.patch(module.sys, "executable", "/nowhere")
        self.patch(module, "create", self.create)
        self.told, self.created, self.cut = [], [], False

    def patch(self, place, name, value) -> None:
        patch = mock.patch.object(place, name, value)
        patch.start()
        self.addCleanup(patch.stop)

    def python(self, path: Path, version: str) -> None:
        """A Python that says which version of jupyter-server it has."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)

    def create(self, place: Path, packages, index, as_user) -> None:
        self.created.append(packages)
        self.python(place / "bin/python", "2.21.1")
        if self.cut:
            raise CommandFailed(["uv"], None, "")

    def ensure(self) -> str:
        return module.ensure(Packages(), self.told.append)

    def test_an_image_that_brings_it(self) -> None:
        self.python(self.image, "2.20.0")
        self.assertEqual(self.ensure(), str(self.image))
        self.assertEqual(self.created, [])

    def test_an_image_that_brings_too_old_a_one_or_none(self) -> None:
        self.python(self.image, "2.19.9")
        self.assertEqual(self.ensure(), str(self.ours / "bin/python"))
        self.assertEqual(self.created, [["jupyterlab==4.6.6", "ipykernel"]])
        self.assertEqual(self.told, ["installs JupyterLab 4.6.6"])
        self.assertEqual(self.ensure(), str(self.ours / "bin/python"))
        self.assertEqual(len(self.created), 1, "the next boot finds it")

    def test_an_installation_that_was_cut_off_is_begun_again(self) -> None:
        self.cut = True
        with self.assertRaises(CommandFailed):
            self.ensure()
        self.assertIsNone(module.find(), "it looks whole, and is not")
        self.cut = False
        self.assertEqual(self.ensure(), str(self.ours / "bin/python"))


if __name__ == "__main__":
    unittest.main()
