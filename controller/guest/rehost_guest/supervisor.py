"""What a host does, from its first moment to its last: prepare, stand by, take the home, serve, let go.

The settings say what the host is asked to be (`Serve`, `Release`); this follows them, and reports how far it has come.
Everything that differs between a VM and a pod is in `vm.py` and `pod.py`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from . import jupyter
from .access import Access
from .accelerators import AcceleratorMissing
from .commands import CommandFailed, run
from .home import Refused
from .jupyter import Api, NoAnswer
from .mounts import StillBusy
from .observer import FOUND, Observer
from .paths import Paths
from .report import FAILED, PREPARING, RELEASED, SERVING, STANDBY, Reporter
from .service import Program
from .settings import RELEASE, SERVE, Settings
from .task import Task

JUPYTER_FAILED = "JupyterFailed"
ACCELERATOR_MISSING = "AcceleratorMissing"
# While it waits for a disk, and while it only has to see that the disk is still there. News wake it at once.
_TURN_S = 0.1
_SERVING_TURN_S = 0.5
_LOOK_S = 5.0
_ANSWER_S = 180.0
# Jupyter that has not come up by then, or after so many tries, is started without the person's own settings.
_OWN_SETTINGS_S = 60.0
_OWN_SETTINGS_TRIES = 3
_PREPARE_TRIES = 3
_LOST_S = 1.0


class Supervisor:
    """One host. `turn` is called again and again, by one thread; `tell` brings it new settings, from any."""

    def __init__(self, host: Any, paths: Paths, reporter: Reporter, secret: Callable[[str], str]) -> None:
        self._host, self._paths, self._reporter, self._secret = host, paths, reporter, secret
        self._access = Access(paths.jupyter / "access.json", paths.private / "token")
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._news: Optional[Settings] = None
        self._settings: Optional[Settings] = None
        self._phase: Optional[str] = None
        self._releasing = False
        self._details: Dict[str, Any] = {}
        self._looked_at = 0.0
        self._lost_since: Optional[float] = None
        self._observer: Optional[Observer] = None
        self._preparation: Optional[Task] = None
        self._prepare_tries = 0
        self._progress = ""

    def tell(self, news: Settings) -> None:
        """New settings. Only the last ones count."""
        with self._lock:
            self._news = news
        self._wake.set()

    @property
    def phase(self) -> Optional[str]:
        return self._phase

    @property
    def settings(self) -> Optional[Settings]:
        return self._settings

    def run(self, until: threading.Event) -> None:
        """Turns until it is told to stop. A fault that nobody thought of is said, and the next turn tries again."""
        while not until.is_set():
            try:
                self.turn()
            except Exception as why:
                print(f"rehost: {type(why).__name__}: {why}", flush=True)
                until.wait(_LOOK_S)
            self._wake.wait(_SERVING_TURN_S if self._phase == SERVING and not self._releasing else _TURN_S)
            self._wake.clear()

    def turn(self) -> None:
        """Does what is next."""
        self._follow()
        if self._settings is None:
            return
        if self._releasing:
            self._let_go()
        elif self._phase == PREPARING:
            self._prepare()
        elif self._phase == STANDBY and self._host.has_home(self._settings):
            self._serve()
        elif self._phase == SERVING:
            self._attend()

    # What is asked.

    def _follow(self) -> None:
        with self._lock:
            news, self._news = self._news, None
        if news is None or news == self._settings:
            return
        before, self._settings = self._settings, news
        if self._releasing:
            # What is under way ends first, and then looks at the role that holds by then.
            return
        if news.role == RELEASE:
            self._release()
        elif self._phase == SERVING:
            self._apply(before)
        elif self._host.is_mounted():
            self._phase = PREPARING
        else:
            self._say(PREPARING)

    def _release(self) -> None:
        if self._phase == SERVING or self._host.is_mounted():
            self._releasing = True
        else:
            self._say(RELEASED, message="there was no home to let go")

    def _apply(self, before: Optional[Settings]) -> None:
        """Takes over what may change on a running host."""
        self._access.allow(self._settings.token_hashes)
        if before is None or before.buckets != self._settings.buckets:
            self._host.follow_buckets(self._settings.buckets)
        if before is None or (before.source, before.buckets) != (self._settings.source, self._settings.buckets):
            self._observe()
        self._say(SERVING)

    def _role_changed(self) -> bool:
        with self._lock:
            return self._news is not None and self._news.role != SERVE

    # Short of the home.

    def _prepare(self) -> None:
        """Looks how the preparation is doing, which may take minutes: a release does not wait for it."""
        if self._preparation is None:
            self._prepare_tries, self._preparation = 1, self._begin_preparation()
        if not self._preparation.ended():
            return self._say_preparing(self._progress)
        why, self._preparation = self._preparation.error, None
        if why is None:
            self._details = {}
            return self._stand_by()
        if isinstance(why, AcceleratorMissing):
            return self._fail(ACCELERATOR_MISSING, str(why))
        if self._prepare_tries == _PREPARE_TRIES:
            return self._fail(JUPYTER_FAILED, f"the host could not be prepared: {why}")
        self._say_preparing(f"try {self._prepare_tries} of {_PREPARE_TRIES}: {why}")
        time.sleep(self._prepare_tries)
        self._prepare_tries += 1
        self._preparation = self._begin_preparation()
        return None

    def _say_preparing(self, message: str) -> None:
        # A supervisor that was started again: Jupyter serves meanwhile, and the last report still holds.
        if not self._host.is_mounted():
            self._say(PREPARING, message=message)

    def _begin_preparation(self) -> Task:
        def progress(words: str) -> None:
            self._progress = words

        wanted, self._progress = self._settings, ""
        return Task("preparation", lambda: self._host.prepare(wanted, progress))

    def _stand_by(self) -> None:
        """Waits for the disk, with Jupyter begun as far as it goes without."""
        self._phase = STANDBY
        if self._host.is_mounted() and self._host.home_is_gone(self._settings):
            return self._lose()
        if not self._host.is_mounted():
            self._start_service(self._settings, own_settings=True)
        if not self._host.has_home(self._settings):
            self._say(STANDBY, message="waits for the home disk")
        return None

    # Serving.

    def _serve(self) -> None:
        wanted = self._settings
        try:
            self._host.take_home(wanted)
        except Refused as why:
            return self._fail(why.failure, str(why), contentId=why.content_id)
        except (CommandFailed, OSError) as why:
            # The machine's fault, not the disk's: the disk may just be going away.
            self._say(STANDBY, message=f"the home could not be taken, another try follows: {why}")
            time.sleep(1)
            return None
        print("rehost: the home is mounted", flush=True)
        self._details = {"contentId": wanted.home.content_id}
        self._access.allow(wanted.token_hashes)
        self._host.follow_buckets(wanted.buckets)
        problem = self._start_jupyter(wanted)
        if problem is not None:
            return self._give_up(problem)
        if self._phase != SERVING:
            # Told to let go meanwhile: the next turn does.
            self._phase = SERVING
            return None
        self._observe()
        self._looked_at = 0.0
        self._say(SERVING)
        return None

    def _start_jupyter(self, wanted: Settings) -> Optional[str]:
        """Starts it and waits until it answers as it should. Returns what is wrong, or nothing; the phase is `Serving`
        when it does answer, and as it was when the role changed meanwhile."""
        began, own_settings = time.monotonic(), True
        self._start_service(wanted, own_settings)
        (self._paths.jupyter / jupyter.GO).touch()
        api = self._api()
        while time.monotonic() - began < _ANSWER_S:
            if self._role_changed():
                return None
            if api.answers():
                if not _is_closed(api):
                    return "Jupyter answers people who have no token, so it was stopped"
                self._phase = SERVING
                return None
            tried_enough = self._host.service.restarts() >= _OWN_SETTINGS_TRIES
            if own_settings and (tried_enough or time.monotonic() - began > _OWN_SETTINGS_S):
                own_settings = False
                self._host.service.stop()
                self._start_service(wanted, own_settings)
            time.sleep(_TURN_S)
        return f"Jupyter did not answer in {_ANSWER_S:.0f} s: {self._host.service.said()}"

    def _start_service(self, wanted: Settings, own_settings: bool) -> None:
        if not own_settings:
            self._details["message"] = (
                "Jupyter was started without the settings in ~/.jupyter, with which it did not start"
            )
        argv = jupyter.command(self._host.python, wanted, self._paths)
        environment = jupyter.environment(self._paths, own_settings)
        self._host.service.start(Program(argv, environment))

    def _api(self) -> Api:
        return Api(self._settings, self._access.token)

    def _stop_service(self) -> None:
        (self._paths.jupyter / jupyter.GO).unlink(missing_ok=True)
        self._host.service.stop()

    def _give_up(self, problem: str) -> None:
        """The home is let go before the failure is said: whoever hears of it may take the disk."""
        self._stop_service()
        self._host.let_go(self._settings)
        self._fail(JUPYTER_FAILED, problem, contentId=self._details.get("contentId"))

    def _observe(self) -> None:
        self._stop_observing()
        # What was found for other settings is no word on these.
        for key in FOUND:
            self._details.pop(key, None)
        self._observer = Observer(self._host, self._settings, self._paths, self._api(), self._secret)

    def _stop_observing(self) -> None:
        if self._observer is not None:
            self._observer.close()
        self._observer = None

    def _attend(self) -> None:
        now = time.monotonic()
        if self._home_is_lost(now):
            return self._lose()
        if self._lost_since is not None or now - self._looked_at < _LOOK_S:
            return None
        self._looked_at = now
        self._details["filesystemFillsDisk"] = self._host.grow(self._settings)
        if self._observer is not None:
            self._details.update(self._observer.found())
        self._say(SERVING)
        return None

    def _home_is_lost(self, now: float) -> bool:
        if not self._host.home_is_gone(self._settings):
            self._lost_since = None
            return False
        if self._lost_since is None:
            self._lost_since = now
        return now - self._lost_since >= _LOST_S

    def _lose(self) -> None:
        print("rehost: the home's disk is gone", flush=True)
        self._lost_since = None
        (self._paths.jupyter / jupyter.GO).unlink(missing_ok=True)
        self._host.service.kill()
        self._host.lose_home()
        self._away()

    # Letting go.

    def _let_go(self) -> None:
        try:
            self._stop_observing()
            # Most of what is dirty is written while the kernels end, instead of after.
            threading.Thread(target=_write_back, args=(self._paths.home,), daemon=True).start()
            self._stop_service()
            print("rehost: Jupyter has ended", flush=True)
            self._host.let_go(self._settings)
        except (StillBusy, CommandFailed) as why:
            print(f"rehost: the home is not let go yet: {why}", flush=True)
            return
        self._releasing = False
        self._away()

    def _away(self) -> None:
        """The home is out of its hands; the role may have changed meanwhile."""
        self._stop_observing()
        content_id, self._details = self._details.get("contentId"), {}
        self._phase = None
        self._follow()
        if self._settings.role == RELEASE:
            self._say(RELEASED, contentId=content_id)
        else:
            self._stand_by()

    # Saying.

    def _fail(self, failure: str, message: str, **details: Any) -> None:
        self._say(FAILED, failure=failure, message=message, **details)

    def _say(self, state: str, **details: Any) -> None:
        self._phase = state
        shown = {**self._details, **details}
        silence, trouble = shown.pop("silence", ""), shown.get("homeTrouble") or {}
        words = trouble.get("message") or silence
        if words and not details.get("message"):
            shown["message"] = words
        self._reporter.say(self._settings.nonce, state, shown)


def _write_back(home: Path) -> None:
    with contextlib.suppress(CommandFailed):
        run(["sync", "--file-system", str(home)], timeout_s=600)


def _is_closed(api: Api) -> bool:
    try:
        return api.is_closed()
    except NoAnswer:
        return False
