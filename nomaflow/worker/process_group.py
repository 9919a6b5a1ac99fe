"""Whether a process group is gone.

A signal 0 to the group also finds zombies that nobody reaps, so on Linux the members are read from /proc.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def members(group: int) -> list[int]:
    """The living processes of a group or session, without zombies."""
    if not (_PROC / "self/stat").exists():
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return []
        return [group]
    found = ((int(entry.name), _stat(int(entry.name))) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid for pid, stat in found if stat and group in stat]


def living(pids: list[int]) -> list[int]:
    """Those of them that still run."""
    return [pid for pid in pids if _stat(pid)]


def _stat(pid: int) -> tuple[int, int] | None:
    """The group and session of a living process; None of one that is gone or a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command's name is in parentheses and may hold anything; what counts stands after the last one.
    state, _parent, group, session, *_ = stat[stat.rindex(b")") + 2 :].split()
    return None if state in (b"Z", b"X") else (int(group), int(session))


def descendants(pid: int) -> list[int]:
    """The living children of a process, theirs, and so on; none where /proc does not list them."""
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_bytes().split())
    except OSError:
        return found
    return [*found, *(grandchild for child in found for grandchild in descendants(child))]


def has_children(pid: int) -> bool:
    """Whether a process has living or unreaped children; asked of the group where /proc does not list them."""
    threads = _PROC / str(pid) / "task"
    try:
        return any((thread / "children").read_bytes().strip() for thread in threads.iterdir())
    except OSError:
        return len(members(pid)) > 1


def signal_group(group: int, number: int) -> bool:
    """Send a signal to every process of the group; False where there is none."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
