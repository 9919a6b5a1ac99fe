"""Whether a process group is gone, and what else a step has started.

A signal 0 to the group also finds zombies that nobody reaps, so on Linux the members are read from /proc. What has left
the group and the session is found by a mark in its environment, which children inherit.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

HOME_MARK = "NOMAFLOW_WORKER_OF"
"""The variable that says which home's engine started a worker; see `mark_of`. It is no secret."""

WORKER_MARK = "NOMAFLOW_WORKER"
"""The variable that tells one worker's processes from another's."""

SWEEP_SECONDS = 5.0
"""How long to look for processes that are killed; longer ones hang in the kernel."""

_PROC = Path("/proc")


class Stat(NamedTuple):
    """Where a living process belongs."""

    parent: int
    group: int
    session: int


class Swept(NamedTuple):
    """The processes that were there, and those of them that could not be killed."""

    found: list[int]
    left: list[int]


def members(group: int) -> list[int]:
    """The living processes of a group or session, without zombies."""
    if not (_PROC / "self/stat").exists():
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return []
        return [group]
    return [pid for pid in _pids() if (stat := _stat(pid)) and group in (stat.group, stat.session)]


def living(pids: Iterable[int]) -> list[int]:
    """Those of them that still run."""
    return [pid for pid in pids if _stat(pid)]


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


def marked(variable: str, value: str) -> list[int]:
    """The living processes of this account that were started with the variable in their environment."""
    wanted, account = f"{variable}={value}".encode(), os.getuid()
    found = []
    for pid in _pids():
        with suppress(OSError):  # it is gone, or shows its environment to nobody
            entry = _PROC / str(pid)
            if entry.stat().st_uid == account and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(pid)
    return living(found)


def mark_of(home: Path) -> str:
    """What the workers of a home are marked with: the same for every path that leads there."""
    return hashlib.sha256(os.path.realpath(home).encode()).hexdigest()[:16]


def sweep(mark: str) -> Swept:
    """End the workers that an engine of the home has left behind, with all that they started; wait until they are gone.

    Only who holds the home's lock may do it: the workers of a living engine have the same mark.

    Args:
        mark: the home's, see `mark_of`.
    """
    found: set[int] = set()
    ends = time.monotonic() + SWEEP_SECONDS
    while True:
        # Once more after the last one is gone: a process may have begun another one while it was looked for.
        there = set(_leftovers(mark)) - _ours()
        found |= there
        if not there or time.monotonic() > ends:
            return Swept(sorted(found), sorted(there))
        kill(there)
        while time.monotonic() < ends and living(there):
            time.sleep(0.01)


def kill(pids: Iterable[int]) -> None:
    """Send SIGKILL to each; one that is gone, or has become another account's, is no error."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def signal_group(group: int, number: int) -> bool:
    """Send a signal to every process of the group; False where there is none."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def _leftovers(mark: str) -> Iterator[int]:
    """The marked processes, their sessions and descendants: a child may have been given an environment of its own."""
    carriers = marked(HOME_MARK, mark)
    for session in {stat.session for pid in carriers if (stat := _stat(pid))}:
        # Of one that somebody else leads, only the carriers are a worker's business.
        if session != os.getsid(0) and (session in carriers or not living([session])):
            yield from members(session)
    for pid in carriers:
        yield pid
        yield from descendants(pid)


def _ours() -> set[int]:
    """This process, what it has started, and what has started it."""
    found = {os.getpid(), *descendants(os.getpid())}
    parent = os.getppid()
    while parent > 1 and (stat := _stat(parent)):
        found.add(parent)
        parent = stat.parent
    return found


def _pids() -> Iterator[int]:
    try:
        names = os.listdir(_PROC)
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


def _stat(pid: int) -> Stat | None:
    """None of a process that is gone or a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command's name is in parentheses and may hold anything; what counts stands after the last one.
    state, parent, group, session, *_ = stat[stat.rindex(b")") + 2 :].split()
    return None if state in (b"Z", b"X") else Stat(int(parent), int(group), int(session))
