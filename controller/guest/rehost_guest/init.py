"""The first process of a container: it reaps what nobody else does, and passes signals on."""

from __future__ import annotations

import os
import signal
from typing import Callable

_PASSED_ON = (signal.SIGTERM, signal.SIGINT)


def under_init(work: Callable[[], int]) -> int:
    """Runs `work` and returns its exit code. As the first process of a container, runs it in a child: a process whose
    parent has ended, such as what a notebook left behind, is then ours to reap, which `work` does not know of."""
    if os.getpid() != 1:
        return work()
    child = os.fork()
    if child == 0:
        return work()
    for number in _PASSED_ON:
        signal.signal(number, lambda received, _: os.kill(child, received))
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status) % 256
