"""The cancel ladder: ask softly, then end the process group, and prove that nothing of it is left."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import trio

from nomaflow.engine.ports import Worker
from nomaflow.wire import Receipt, Rung
from nomaflow.worker.protocol import Message

SOFT_SEND_SECONDS = 1.0
"""How long a worker may take to read the request."""

FORCED_GRACE_SECONDS = 0.2
"""The grace of a forced stop, and of one whose grace is shorter still: a driver's cancel takes some milliseconds."""

TERM_SECONDS = 5.0
"""How long a process group has after SIGTERM."""

FORCED_TERM_SECONDS = 1.0
"""The same with force."""

STUCK_SECONDS = 1.0
"""How often processes that hang in the kernel are looked at."""


@dataclass
class Stop:
    """A request to stop a run or step. `forced` may be set later, by a second request."""

    kind: Literal["cancel", "timeout", "shutdown"]
    by: str
    requested_at: datetime
    reason: str | None = None
    force: bool = False
    rungs: list[Rung] = field(default_factory=list)
    forced: trio.Event = field(default_factory=trio.Event)
    proof: str | None = None
    survivors: list[str] = field(default_factory=list)
    rolled_back: bool | Literal["unknown"] = "unknown"

    def __post_init__(self) -> None:
        if self.force:
            self.forced.set()

    def hurry(self) -> None:
        """Skip what is left of the grace."""
        self.force = True
        self.forced.set()

    def adopt(self, request: Stop) -> None:
        """Go on as the stop that a person asks for: a step that is being ended already is not asked twice."""
        self.kind, self.by, self.requested_at, self.reason = (
            request.kind,
            request.by,
            request.requested_at,
            request.reason,
        )
        if request.force:
            self.hurry()

    def receipt(self) -> Receipt:
        """As a run shows it."""
        return Receipt(
            requested_at=self.requested_at,
            requested_by=self.by,
            reason=self.reason,
            force=self.force,
            rungs=[rung.model_copy() for rung in self.rungs],
            rolled_back=self.rolled_back,
            survivors=list(self.survivors),
            proof=self.proof,
        )


async def climb(
    worker: Worker,
    stop: Stop,
    *,
    grace_seconds: float | None,
    now: Callable[[], datetime],
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Go up the ladder; the caller cancels this as soon as the step has ended.

    Soft first (a driver's cancel, `CancelledError`, an interrupt), SIGTERM to the group after the grace, SIGKILL
    after another wait. With force there is no grace and a shorter wait.

    Args:
        worker: runs the step.
        stop: takes the rungs.
        grace_seconds: None of a worker that has half of the step and cannot be asked anything.
        now: the wall clock.
        say: tells the run's log what is done.
    """
    if grace_seconds is not None:
        await _ask(worker, stop, grace_seconds, now)
    for rung, number in (("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL)):
        if stop.rungs:
            stop.rungs[-1].ended_at = now()
            stop.rungs[-1].result = "the step went on"
        stop.rungs.append(Rung(rung=rung, started_at=now(), result="sent to the process group"))
        say(f"the step goes on; {rung} to its process group {worker.pid}")
        worker.signal(number)
        await _wait(stop, TERM_SECONDS, FORCED_TERM_SECONDS, since=trio.current_time())
    # Closes the pipes, so that whoever waits for the step's end gets one, and `prove` can tell what is stuck.
    await worker.kill()


async def _ask(worker: Worker, stop: Stop, grace_seconds: float, now: Callable[[], datetime]) -> None:
    """The soft rung."""
    stop.rungs.append(Rung(rung="soft cancel", started_at=now(), result="the step was asked to stop"))
    begun, message = trio.current_time(), f"{stop.kind} by {stop.by}"
    # A worker that does not read must not hold up the next rung.
    with trio.move_on_after(FORCED_GRACE_SECONDS if stop.force else min(SOFT_SEND_SECONDS, grace_seconds)):
        await worker.send({"cancel": message, "grace_seconds": 0 if stop.force else grace_seconds})
    # With force too: what a driver's own cancel does in some milliseconds is worth more than being first.
    await _wait(stop, grace_seconds, FORCED_GRACE_SECONDS, since=begun)


async def _wait(stop: Stop, seconds: float, forced_seconds: float, *, since: float) -> None:
    """Wait so long, or only so long from the moment on that somebody forces it."""
    with trio.move_on_at(since + max(seconds, forced_seconds)):
        await stop.forced.wait()
        await trio.sleep_until(since + forced_seconds)


async def prove(worker: Worker, stop: Stop, *, now: Callable[[], datetime], stuck: Callable[[], None]) -> None:
    """Return when the process group is gone; ask `stuck` to tell it while processes hang in the kernel."""
    if stop.rungs:
        stop.rungs[-1].ended_at = now()
        if stop.rungs[-1].rung == "soft cancel":
            stop.rungs[-1].result = "the step ended"
        else:
            stop.rungs[-1].result = "the process group ended"
    while left := await worker.kill():
        stop.survivors = [f"process {pid}" for pid in left]
        stuck()
        await trio.sleep(STUCK_SECONDS)
    stop.survivors = []
    stop.proof = f"process {worker.pid} is reaped and its group is empty"


def rolled_back(end: Message) -> bool | Literal["unknown"]:
    """Whether the changes of a stopped step are gone, as far as its last message says."""
    if "done" in end:
        return False
    said = end.get("rolled_back")
    return said if isinstance(said, bool) else "unknown"
