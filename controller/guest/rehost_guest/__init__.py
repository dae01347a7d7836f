"""What runs on a notebook's host: it takes the home, serves JupyterLab from it, and lets it go again.

Standard library only, Python 3.9 and later: it must run on any image, before anything is installed. One file per
concern; `supervisor.py` is where to begin reading.
"""
