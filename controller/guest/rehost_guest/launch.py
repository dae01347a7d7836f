"""Starts JupyterLab's server, in two steps. Runs under Jupyter's own Python.

A host that stands by starts it without the home: it imports what takes its time, and waits. As soon as the home is
there, the guest makes the file that `REHOST_GO` names, and the server begins in the home. That takes the imports out of
the interruption.
"""

import contextlib
import importlib
import os
import sys
import time
from pathlib import Path

# A path here instead of PYTHONPATH: kernels and terminals do not inherit it.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

# What the server and its extensions import by and by.
_AHEAD = (
    "jupyterlab.handlers.error_handler",
    "jupyter_lsp.serverextension",
    "jupyter_server_terminals",
    "ipykernel.kernelspec",
    "notebook_shim.nbserver",
    "jupyter_server.services.kernels.connection.channels",
    "nbconvert.exporters",
)
_LOOK_S = 0.02


def main() -> int:
    from jupyterlab.labapp import main as serve

    for name in _AHEAD:
        # Another version may not have it: then it is imported later, or never.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    go = Path(os.environ["REHOST_GO"])
    while not go.exists():
        time.sleep(_LOOK_S)
    os.chdir(os.environ["HOME"])
    return serve()


if __name__ == "__main__":
    sys.exit(main())
