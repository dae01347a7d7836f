"""A pod's first step: the guest's files are laid out, and the guest begins."""

import gzip
import json
import shutil
import subprocess
import sys
import unittest

from .support import GUEST, Scratch

sys.path.insert(0, str(GUEST))

import start  # noqa: E402


class LayingOut(Scratch):
    def pack(self, files: "dict[str, str]"):
        packed = self.scratch / "guest.json.gz"
        packed.write_bytes(gzip.compress(json.dumps(files).encode()))
        return packed

    def test_files_of_an_earlier_version_are_replaced_or_removed(self) -> None:
        start.lay_out(self.pack({"a.py": "old", "b.py": "old"}), self.scratch)
        start.lay_out(self.pack({"a.py": "new"}), self.scratch)
        folder = self.scratch / "rehost_guest"
        self.assertEqual({path.name: path.read_text() for path in folder.iterdir()}, {"a.py": "new"})

    def test_a_name_that_leads_elsewhere_is_refused(self) -> None:
        with self.assertRaises(SystemExit):
            start.lay_out(self.pack({"../a.py": "x"}), self.scratch)
        self.assertFalse((self.scratch / "a.py").exists())

    def test_the_guest_begins_as_the_same_process(self) -> None:
        shutil.copy(GUEST / "start.py", self.scratch)
        self.pack({"__init__.py": "", "__main__.py": "import os, sys; print(os.getpid(), sys.argv[1])"})
        place = self.scratch / "place"
        script = (
            f"import pathlib, sys; sys.path.insert(0, {str(self.scratch)!r}); import start; "
            f"sys.argv = ['start.py', 'check']; start.PLACE = pathlib.Path({str(place)!r}); start.main()"
        )
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        said = process.communicate(timeout=60)[0].decode()
        self.assertEqual(said.split(), [str(process.pid), "check"])


if __name__ == "__main__":
    unittest.main()
