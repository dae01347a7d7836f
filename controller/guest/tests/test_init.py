"""The first process of a container, in a PID namespace of its own."""

import os
import signal
import subprocess
import sys
import time
import unittest

from .support import GUEST, NEEDS_ROOT

# Leaves an orphan behind that ends at once, then says how many zombies there are, and waits to be told to end.
WORK = """
import os, signal, subprocess, sys, time
from rehost_guest.init import under_init

def work():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    subprocess.run(["sh", "-c", "sleep 0.1 & exit 0"])
    time.sleep(0.6)
    all = [open(f"/proc/{pid}/stat").read() for pid in os.listdir("/proc") if pid.isdigit()]
    states = [stat.rpartition(")")[2].split()[0] for stat in all]
    print("first", os.getpid() == 1, "zombies", states.count("Z"), flush=True)
    time.sleep(60)
    return 0

sys.exit(under_init(work))
"""


@NEEDS_ROOT
class First(unittest.TestCase):
    def test_it_reaps_passes_signals_on_and_ends_with_its_child(self) -> None:
        argv = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", WORK]
        process = subprocess.Popen(argv, cwd=GUEST, stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline().strip(), "first False zombies 0")
        children = open(f"/proc/{process.pid}/task/{process.pid}/children").read().split()
        os.kill(int(children[0]), signal.SIGTERM)
        began = time.monotonic()
        self.assertEqual(process.wait(timeout=20), 7)
        self.assertLess(time.monotonic() - began, 10)
        process.stdout.close()


if __name__ == "__main__":
    unittest.main()
