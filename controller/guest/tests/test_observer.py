"""What is seen of a serving host, and that nothing unknown is passed off as known."""

import os
import time
import unittest
from unittest import mock

from .support import NEEDS_ROOT, Scratch, sh
from .test_supervisor import StubHost, document

from rehost_guest import observer as module
from rehost_guest.observer import Observer, trouble_of
from rehost_guest.paths import Paths
from rehost_guest.settings import parse


class Observing(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.paths = Paths(self.scratch)
        self.paths.make()
        self.paths.home.mkdir(parents=True)
        self.scratch.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(self.paths.home, 1000, 1000)
        self.host, self.activity = StubHost(), {"kernels": 1}
        for name, value in (("_LOOK_S", 0.02), ("_ACTIVITY_EVERY", 1)):
            self.patch(mock.patch.object(module, name, value))
        self.patch(mock.patch.object(module.activity, "observe", lambda api, pid: self.activity))
        self.made = self.patch(mock.patch.object(module.kernel_environment, "ensure", return_value={"state": "Ready"}))

    def patch(self, patch):
        made = patch.start()
        self.addCleanup(patch.stop)
        return made

    def observe(self, **more: object) -> Observer:
        observer = Observer(self.host, parse(document("Serve", "n-1", **more)), self.paths, None, lambda name: "")
        self.addCleanup(observer.close)
        return observer

    def until(self, observer: Observer, wanted) -> dict:
        deadline = time.monotonic() + 10
        while not wanted(observer.found()):
            self.assertLess(time.monotonic(), deadline, observer.found())
            time.sleep(0.01)
        return observer.found()

    def test_activity_is_not_known_while_jupyter_does_not_answer_and_a_person_hears_of_it(self) -> None:
        observer = self.observe()
        self.until(observer, lambda found: found.get("activity") == {"kernels": 1} and found.get("silence") == "")
        self.activity = None
        found = self.until(observer, lambda found: found["silence"])
        self.assertIsNone(found["activity"])
        self.assertIn("it said why", found["silence"])
        self.activity = {"kernels": 0}
        self.until(observer, lambda found: found["silence"] == "" and found["activity"] == {"kernels": 0})

    def test_the_repository_comes_before_the_environment_and_neither_stops_the_other(self) -> None:
        source = {"repository": "https://127.0.0.1:1/course.git", "path": "course"}
        found = self.until(self.observe(source=source), lambda found: found["kernels"]["state"] == "Ready")
        self.assertEqual(found["source"]["failure"], "Unreachable")
        self.made.assert_called_once()


class Trouble(Scratch):
    def test_a_home_that_is_well_and_one_that_is_gone(self) -> None:
        self.assertIsNone(trouble_of(self.scratch))
        self.assertEqual(trouble_of(self.scratch / "gone")["reason"], "Unreadable")

    @NEEDS_ROOT
    def test_a_home_that_is_full_or_read_only(self) -> None:
        point = self.scratch / "small"
        point.mkdir()
        sh("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point))
        self.addCleanup(sh, "umount", str(point))
        with self.assertRaises(OSError), open(point / "fill", "wb", buffering=0) as fill:
            while True:
                fill.write(bytes(1 << 16))
        self.assertEqual(trouble_of(point)["reason"], "Full")
        os.unlink(point / "fill")
        self.assertIsNone(trouble_of(point))
        sh("mount", "-o", "remount,ro", str(point))
        self.assertEqual(trouble_of(point)["reason"], "ReadOnly")


if __name__ == "__main__":
    unittest.main()
