"""Starts JupyterLab's server with the guest's identity provider within reach. Runs under Jupyter's own Python.

A path on `sys.path` instead of PYTHONPATH: kernels and terminals do not inherit it.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from jupyterlab.labapp import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
