"""The default kernel's environment in the home: made once, begun again when it was cut off, never a loss."""

import json
import os
import unittest
from unittest import mock

from .support import Scratch
from .test_supervisor import document

from rehost_guest import kernel_environment as module
from rehost_guest.commands import CommandFailed
from rehost_guest.paths import Paths
from rehost_guest.settings import parse


class Making(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.scratch.chmod(0o755)
        self.paths = Paths(self.scratch)
        self.paths.make()
        self.paths.home.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(self.paths.home, 1000, 1000)
        self.settings = parse(document("Serve", "n-1", kernels={"packages": ["pandas"]}))
        self.spec = self.paths.jupyter / "share/kernels/python3/kernel.json"
        patch = mock.patch.object(module, "create", self.create)
        patch.start()
        self.addCleanup(patch.stop)
        self.created, self.works, self.fails = [], True, None

    def create(self, place, packages, index, as_user, python, home) -> None:
        """An environment whose Python is a shell script: it works or it does not."""
        self.created.append(packages)
        if self.fails:
            raise self.fails
        (place / "bin").mkdir(parents=True)
        python = place / "bin/python"
        python.write_text(f"#!/bin/sh\nexit {0 if self.works else 1}\n")
        python.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(place, 1000, 1000)

    def ensure(self) -> str:
        return module.ensure(self.settings, self.paths)["state"]

    def test_it_is_made_once_and_offered_at_every_boot(self) -> None:
        self.assertEqual(self.ensure(), "Ready")
        self.assertEqual(json.loads(self.spec.read_text())["argv"][0], str(self.paths.home / ".venv/bin/python"))
        self.assertIn(".venv/bin", (self.paths.home / ".profile").read_text())
        self.spec.unlink()
        self.assertEqual(self.ensure(), "Ready")
        self.assertTrue(self.spec.exists())
        self.assertEqual(self.created, [["ipykernel", "pandas"]])

    def test_one_that_was_cut_off_is_begun_again(self) -> None:
        self.fails = CommandFailed(["uv"], None, "")
        self.assertEqual(self.ensure(), "Failed")
        self.assertFalse(self.spec.exists())
        self.fails = None
        self.assertEqual(self.ensure(), "Ready")
        self.assertEqual(sorted(it.name for it in self.paths.home.iterdir()), [".profile", ".venv"])

    def test_one_that_does_not_work_here_is_kept_and_not_offered(self) -> None:
        self.ensure()
        python = self.paths.home / ".venv/bin/python"
        python.write_text("#!/bin/sh\nexit 1\n")
        self.assertEqual(self.ensure(), "Failed")
        self.assertFalse(self.spec.exists(), "kernels run in the server's environment")
        self.assertTrue(python.exists(), "it may work on the next host")

    def test_what_is_the_persons_stays(self) -> None:
        (self.paths.home / ".profile").write_text("theirs")
        theirs = self.paths.home / ".local/share/jupyter/kernels/python3"
        theirs.mkdir(parents=True)
        self.assertEqual(self.ensure(), "Ready")
        self.assertEqual((self.paths.home / ".profile").read_text(), "theirs")
        self.assertFalse(self.spec.exists())


if __name__ == "__main__":
    unittest.main()
