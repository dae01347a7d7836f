"""The order of things: what a host does when it is asked, and what it says. Over a host of which every step is a stub;
the steps themselves have tests of their own, and real machines run the whole."""

import json
import threading
import unittest
from unittest import mock

from .support import Scratch

from rehost_guest import supervisor as module
from rehost_guest.accelerators import AcceleratorMissing
from rehost_guest.commands import CommandFailed
from rehost_guest.home import CONTENT_MISMATCH, Refused
from rehost_guest.mounts import StillBusy
from rehost_guest.paths import Paths
from rehost_guest.report import Reporter
from rehost_guest.settings import parse
from rehost_guest.supervisor import Supervisor


class StubService:
    def __init__(self, host: "StubHost") -> None:
        self.host, self.tries = host, 0

    def start(self, program) -> None:
        own = "JUPYTER_CONFIG_DIR" not in program.environment
        self.host.did.append("start" if own else "start without own settings")

    def stop(self) -> None:
        self.host.did.append("stop")

    def kill(self) -> None:
        self.host.did.append("kill")

    def pid(self):
        return None

    def restarts(self) -> int:
        return self.tries

    def said(self) -> str:
        return "it said why"


class StubHost:
    python = "python3"

    def __init__(self) -> None:
        self.did, self.attached, self.mounted = [], False, False
        self.refuses = self.cannot_prepare = self.busy = None
        self.service = StubService(self)

    def prepare(self, settings, progress) -> None:
        self.did.append("prepare")
        if self.cannot_prepare:
            raise self.cannot_prepare

    def has_home(self, settings) -> bool:
        return self.attached

    def home_is_gone(self, settings) -> bool:
        return not self.attached

    def is_mounted(self) -> bool:
        return self.mounted

    def take_home(self, settings) -> None:
        self.did.append("take")
        if self.refuses:
            raise self.refuses
        self.mounted = True

    def follow_buckets(self, wanted) -> None:
        self.did.append(f"buckets {len(wanted)}")

    def bucket_states(self, wanted):
        return []

    def let_go(self, settings) -> None:
        if self.busy:
            raise self.busy
        self.did.append("let go")
        self.mounted = False

    def lose_home(self) -> None:
        self.did.append("lose")
        self.mounted = False

    def grow(self, settings) -> bool:
        return True


class StubApi:
    open_to_all, up = False, True

    def __init__(self, settings, token) -> None:
        pass

    def answers(self) -> bool:
        return StubApi.up

    def is_closed(self) -> bool:
        return not StubApi.open_to_all


def document(role: str, nonce: str, **more: object) -> str:
    words = {"notebook": "team-a/taxi", "uid": "u", "role": role, "nonce": nonce, "port": 8888}
    home = {"device": "home", "contentId": "content-1", "format": False}
    return json.dumps({**words, "home": home, **more})


class SupervisorCase(Scratch):
    def setUp(self) -> None:
        super().setUp()
        self.paths = Paths(self.scratch)
        self.paths.make()
        self.paths.home.mkdir(parents=True)
        self.host, self.said = StubHost(), []
        StubApi.open_to_all, StubApi.up = False, True
        reporter = Reporter("boot-1", None)
        real = reporter.say

        def say(nonce, state, details) -> None:
            real(nonce, state, details)
            report = json.loads(reporter.last())
            if not self.said or self.said[-1] != report:
                self.said.append(report)

        reporter.say = say
        for name, value in (("Api", StubApi), ("Observer", mock.DEFAULT), ("_ANSWER_S", 0.5), ("_LOST_S", 0.0)):
            patch = mock.patch.object(module, name) if value is mock.DEFAULT else mock.patch.object(module, name, value)
            made = patch.start()
            self.addCleanup(patch.stop)
            if name == "Observer":
                made.return_value.found.return_value = {}
        sleeps = mock.patch.object(module.time, "sleep")
        sleeps.start()
        self.addCleanup(sleeps.stop)
        self.supervisor = Supervisor(self.host, self.paths, reporter, lambda name: "")

    def tell(self, role: str = "Serve", nonce: str = "n-1", turns: int = 3, **more) -> None:
        self.supervisor.tell(parse(document(role, nonce, **more)))
        self.turn(turns)

    def turn(self, turns: int = 3) -> None:
        for _ in range(turns):
            self.supervisor.turn()
            while self.supervisor.phase == "Preparing" and self.supervisor._preparation is not None:
                self.supervisor._preparation._thread.join(timeout=10)
                self.supervisor.turn()

    def states(self) -> "list[str]":
        """What was said, one word for each change; details that were added later do not count."""
        words = [f"{report['nonce']} {report['state']}" for report in self.said]
        return [word for index, word in enumerate(words) if index == 0 or words[index - 1] != word]


class Serving(SupervisorCase):
    def test_it_stands_by_until_the_disk_comes_then_serves(self) -> None:
        self.tell()
        self.turn(5)
        self.assertEqual(self.states(), ["n-1 Preparing", "n-1 Standby"])
        self.assertEqual(self.host.did, ["prepare", "start"], "Jupyter begins, and waits for the home")
        self.assertFalse((self.paths.jupyter / "go").exists())
        self.host.attached = True
        self.turn()
        self.assertEqual(self.host.did, ["prepare", "start", "take", "buckets 0", "start"])
        self.assertTrue((self.paths.jupyter / "go").exists())
        self.assertEqual((self.said[-1]["state"], self.said[-1]["contentId"]), ("Serving", "content-1"))

    def test_a_host_that_has_its_disk_from_the_start_does_not_say_standby(self) -> None:
        self.host.attached = True
        self.tell()
        self.assertEqual(self.states(), ["n-1 Preparing", "n-1 Serving"])

    def test_new_settings_while_serving_are_taken_over_without_a_restart(self) -> None:
        self.host.attached = True
        self.tell()
        self.tell(nonce="n-2", tokenHashes=["ab" * 32], buckets=[{"path": "data", "name": "team-data"}])
        self.assertEqual(self.states()[-1], "n-2 Serving")
        self.assertEqual(self.host.did[-1], "buckets 1")
        self.assertEqual(self.host.did.count("start"), 2, "in standby, and when the home came")
        self.assertIn("ab" * 32, (self.paths.jupyter / "access.json").read_text())

    def test_a_supervisor_that_is_started_again_finds_the_home_mounted(self) -> None:
        self.host.attached = self.host.mounted = True
        self.tell()
        self.assertEqual(self.states(), ["n-1 Serving"])
        self.assertNotIn("stop", self.host.did)


class LettingGo(SupervisorCase):
    def setUp(self) -> None:
        super().setUp()
        self.host.attached = True

    def test_jupyter_ends_before_the_home_is_let_go_and_then_it_is_said(self) -> None:
        self.tell()
        self.tell("Release", "n-2")
        self.assertEqual(self.host.did[-2:], ["stop", "let go"])
        self.assertFalse((self.paths.jupyter / "go").exists())
        self.assertEqual((self.states()[-1], self.said[-1]["contentId"]), ("n-2 Released", "content-1"))
        self.turn(5)
        self.assertEqual(self.host.did.count("take"), 1, "a disk that is still attached is not taken again")
        self.tell("Serve", "n-3")
        self.assertEqual(self.states()[-1], "n-3 Serving", "it serves again when asked")

    def test_nothing_is_said_while_something_holds_on(self) -> None:
        self.tell()
        self.host.busy = StillBusy("held by python (42)")
        self.tell("Release", "n-2")
        self.assertNotIn("n-2 Released", self.states())
        self.tell("Serve", "n-3")
        self.host.busy = None
        self.turn()
        self.assertNotIn("n-2 Released", self.states(), "the role has changed meanwhile")
        self.assertEqual(self.states()[-1], "n-3 Serving")

    def test_without_a_home_there_is_nothing_to_let_go(self) -> None:
        self.host.attached = False
        self.tell("Release", "n-2")
        self.assertEqual((self.states(), self.said[-1]["message"]), (["n-2 Released"], "there was no home to let go"))
        self.assertEqual(self.host.did, [])

    def test_a_release_does_not_wait_for_the_preparation(self) -> None:
        go = threading.Event()
        self.addCleanup(go.set)
        self.host.prepare = lambda settings, progress: (progress("installs"), go.wait(10))
        self.supervisor.tell(parse(document("Serve", "n-1")))
        for _ in range(3):
            self.supervisor.turn()
        self.assertEqual((self.states()[-1], self.said[-1]["message"]), ("n-1 Preparing", "installs"))
        self.supervisor.tell(parse(document("Release", "n-2")))
        self.supervisor.turn()
        self.assertEqual(self.states()[-1], "n-2 Released")

    def test_a_disk_that_is_torn_out_is_missed(self) -> None:
        self.tell()
        self.host.attached = False
        self.turn()
        self.assertEqual(self.host.did[-3:], ["kill", "lose", "start"])
        self.assertEqual(self.states()[-1], "n-1 Standby")
        self.host.attached = True
        self.turn()
        self.assertEqual(self.states()[-1], "n-1 Serving")


class Failing(SupervisorCase):
    def setUp(self) -> None:
        super().setUp()
        self.host.attached = True

    def failure(self) -> "tuple[str, str]":
        return self.said[-1]["state"], self.said[-1].get("failure", "")

    def test_a_refused_disk_is_said_once_and_tried_again_only_when_asked(self) -> None:
        self.host.refuses = Refused(CONTENT_MISMATCH, "the disk carries content-2", "content-2")
        self.tell()
        self.turn(5)
        self.assertEqual(self.failure(), ("Failed", "ContentMismatch"))
        self.assertEqual(self.said[-1]["contentId"], "content-2")
        self.assertEqual(self.host.did, ["prepare", "start", "take"])
        self.host.refuses = None
        self.tell(nonce="n-2")
        self.assertEqual(self.states()[-1], "n-2 Serving")

    def test_a_fault_of_the_machine_is_tried_again(self) -> None:
        self.host.refuses = OSError("the disk is just going away")
        self.tell()
        self.host.refuses = None
        self.turn()
        self.assertEqual(self.states()[-1], "n-1 Serving")

    def test_accelerators_that_are_missing(self) -> None:
        self.host.cannot_prepare = AcceleratorMissing("nvidia-smi shows 0")
        self.tell()
        self.assertEqual(self.failure(), ("Failed", "AcceleratorMissing"))
        self.assertNotIn("take", self.host.did)

    def test_what_cannot_be_installed_is_tried_three_times(self) -> None:
        self.host.cannot_prepare = CommandFailed(["pip"], 1, "no route")
        self.tell()
        self.assertEqual(self.failure(), ("Failed", "JupyterFailed"))
        self.assertEqual(self.host.did.count("prepare"), 3)

    def test_jupyter_that_does_not_come_up_gives_the_home_back_before_it_says_so(self) -> None:
        StubApi.up = False
        self.tell()
        self.assertEqual(self.failure(), ("Failed", "JupyterFailed"))
        self.assertEqual(self.host.did[-2:], ["stop", "let go"])
        self.assertFalse(self.host.mounted)

    def test_own_settings_that_keep_it_down_are_left_out(self) -> None:
        StubApi.up = False
        self.host.service.tries = 3
        with mock.patch.object(self.host.service, "stop", lambda: setattr(StubApi, "up", True)):
            self.tell()
        self.assertIn("start without own settings", self.host.did)
        self.assertEqual(self.said[-1]["state"], "Serving")
        self.assertIn("~/.jupyter", self.said[-1]["message"])

    def test_jupyter_that_lets_everybody_in_is_stopped(self) -> None:
        StubApi.open_to_all = True
        self.tell()
        self.assertEqual(self.failure(), ("Failed", "JupyterFailed"))
        self.assertEqual(self.host.did[-2:], ["stop", "let go"])

    def test_a_release_that_comes_while_jupyter_starts_is_heard(self) -> None:
        StubApi.up = False
        self.tell(turns=1)
        with mock.patch.object(self.supervisor, "_role_changed", return_value=True):
            self.turn(1)
        self.tell("Release", "n-2")
        self.assertEqual(self.states()[-1], "n-2 Released")
        self.assertNotIn("n-1 Serving", self.states())


if __name__ == "__main__":
    unittest.main()
