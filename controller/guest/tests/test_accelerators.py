"""GPUs are there when nvidia-smi shows them; a stand-in plays it."""

import os
import unittest
from unittest import mock

from .support import Scratch

from rehost_guest import accelerators


class Counting(Scratch):
    def setUp(self) -> None:
        super().setUp()
        path = mock.patch.dict(os.environ, {"PATH": f"{self.scratch}:{os.environ['PATH']}"})
        path.start()
        self.addCleanup(path.stop)
        self.told = []

    def stand_in(self, lines: int) -> None:
        program = self.scratch / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nfor i in $(seq {lines}); do echo GPU-$i; done\n")
        program.chmod(0o755)

    def require(self, wanted: int) -> None:
        accelerators.require(wanted, "", self.scratch, self.told.append)

    def test_the_asked_count(self) -> None:
        self.require(0)
        with self.assertRaises(accelerators.AcceleratorMissing):
            self.require(1)
        self.stand_in(2)
        self.require(1)
        self.require(2)
        with self.assertRaises(accelerators.AcceleratorMissing):
            self.require(3)

    def test_an_images_installer_is_run_once_and_then_counted(self) -> None:
        installer = self.scratch / "install-driver.sh"
        installer.write_text(f"#!/bin/sh\ncp {self.scratch}/shows-one {self.scratch}/nvidia-smi\n")
        installer.chmod(0o755)
        (self.scratch / "shows-one").write_text("#!/bin/sh\necho GPU-1\n")
        (self.scratch / "shows-one").chmod(0o755)
        with mock.patch.object(accelerators, "_IMAGE_INSTALLER", installer):
            self.require(1)
            self.assertEqual(self.told, ["installs the driver of the accelerators"])
            with self.assertRaises(accelerators.AcceleratorMissing) as caught:
                self.require(2)
        self.assertEqual(str(caught.exception), "nvidia-smi shows 1 accelerators where 2 are promised")

    def test_a_driver_that_hangs_or_fails_is_none(self) -> None:
        program = self.scratch / "nvidia-smi"
        program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
        program.chmod(0o755)
        self.assertEqual(accelerators.count(), 0)


if __name__ == "__main__":
    unittest.main()
