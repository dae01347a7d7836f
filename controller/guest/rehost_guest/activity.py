"""Evidence of whether anybody, or anything, uses the notebook. Nothing is decided here, and what is not known is not
reported: the unknown is never idle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Optional

from .jupyter import Api, NoAnswer


def observe(api: Api, server_pid: Optional[int]) -> Optional[dict]:
    """What Jupyter says of itself now, or nothing where it does not answer or anything is missing in its answer."""
    if server_pid is None:
        return None
    try:
        status, kernels, terminals = api.get("/status"), api.get("/kernels"), api.get("/terminals")
        states = [kernel["execution_state"] for kernel in kernels]
        return {
            "lastActivity": max([status["last_activity"]] + [it["last_activity"] for it in kernels + terminals]),
            "kernels": len(kernels),
            # Starting, restarting, dead and whatever else there may be count as busy: only idle is idle.
            "busyKernels": sum(state != "idle" for state in states),
            "connections": sum(kernel["connections"] for kernel in kernels),
            "terminals": len(terminals),
            "busyTerminals": busy_terminals(server_pid),
        }
    except (NoAnswer, KeyError, TypeError, ValueError, OSError):
        return None


def busy_terminals(server_pid: int) -> int:
    """How many of the server's terminals run something: a child of the server on a terminal of its own, with a child
    of its own."""
    children = _children()
    return sum(_has_terminal(pid) and bool(children.get(pid)) for pid in children.get(server_pid, []))


def _children() -> Dict[int, List[int]]:
    found: Dict[int, List[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = _stat(int(name))
            if fields is not None:
                found.setdefault(int(fields[1]), []).append(int(name))
    return found


def _has_terminal(pid: int) -> bool:
    fields = _stat(pid)
    return fields is not None and fields[4] != "0"


def _stat(pid: int) -> Optional[List[str]]:
    """State, parent, group, session, terminal and so on; nothing where the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
