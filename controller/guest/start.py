"""The first step of a pod's containers, from the ConfigMap beside it: `start.py check` or `start.py pod` lays the guest's own
files out, as `startup.sh` does on a VM, and becomes the guest. Standard library only: the image is anybody's.
"""

import gzip
import json
import os
import re
import sys
from pathlib import Path

# Both containers of the pod see it.
PLACE = Path("/run/rehost/guest")
# Beside this file: the kubelet replaces both at once.
PACKED = Path(__file__).resolve().parent / "guest.json.gz"


def lay_out(packed: Path, place: Path) -> None:
    """Writes the guest's files, and removes those of an earlier version."""
    files = json.loads(gzip.decompress(packed.read_bytes()))
    folder = place / "rehost_guest"
    folder.mkdir(parents=True, exist_ok=True)
    for name in set(os.listdir(folder)) - set(files):
        if name.endswith(".py"):
            (folder / name).unlink()
    for name, text in files.items():
        if not re.fullmatch(r"[a-z_]+\.py", name):
            sys.exit(f"rehost: {name!r} is not the name of one of the guest's files")
        beside = folder / f"{name}.new"
        beside.write_text(text)
        os.replace(beside, folder / name)


def main() -> None:
    lay_out(PACKED, PLACE)
    os.chdir(PLACE)
    # An option and no variable of the environment, which Jupyter's kernels would inherit.
    os.execv(sys.executable, [sys.executable, "-B", "-m", "rehost_guest", sys.argv[1]])


if __name__ == "__main__":
    main()
