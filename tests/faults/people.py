"""Those who work with an engine that may die at any moment: each notes what was answered, and when.

Requests without an answer are noted too: whether they happened is not known, so nothing is concluded from them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.faults.evidence import TERMINAL, Call, Evidence, Seen
from tests.faults.process import NO_ANSWER, Engine

TOGGLED = ("each", "sql-one", "side-by-side", "shaky")
SKIPPED = {"sql-two": 2, "newest": 4, "queues": 2}
"""Jobs whose fires are left out now and then, with the seconds between them. They are never switched."""

LAUNCHED = ("by-hand", "by-hand", "by-hand", "sleeper", "deaf", "each", "locked-too")
GAP_SECONDS = 0.05


class Stage:
    """Which engine there is now."""

    def __init__(self) -> None:
        self._there = threading.Condition()
        self._engine: Engine | None = None
        self._is_over = False

    def set(self, engine: Engine | None) -> None:
        """Another one, or none."""
        with self._there:
            self._engine = engine
            self._there.notify_all()

    def end(self) -> None:
        """There will be none any more."""
        with self._there:
            self._is_over = True
            self._there.notify_all()

    def engine(self, other_than: Engine | None = None) -> Engine | None:
        """The engine, when there is one; None when there will be none."""
        with self._there:
            self._there.wait_for(lambda: self._is_over or self._engine not in (None, other_than))
            return None if self._is_over else self._engine


class People:
    """One thread that asks for things."""

    def __init__(self, stage: Stage, evidence: Evidence, draw: random.Random) -> None:
        self._stage, self._evidence, self._draw = stage, evidence, draw
        self._number = 0
        self._keys: list[tuple[str, str]] = []
        self._unanswered: set[str] = set()
        self._known: list[str] = []
        self._skips: list[Call] = []
        self._trap: str | None = None
        self.sprung = threading.Event()

    def set_trap(self, verb: str) -> None:
        """Kill the engine right after it acknowledges such a request; `sprung` says that this has happened."""
        self.sprung.clear()
        self._trap = verb

    def drop_trap(self) -> None:
        """Kill nothing."""
        self._trap = None

    def work(self) -> None:
        """Ask for something now and then, until there is no engine any more."""
        verbs: list[tuple[int, Callable[[Engine], object]]] = [
            (8, self.launch),
            (2, self.launch_again),
            (5, self.cancel),
            (2, self.cancel_queued),
            (3, self.toggle),
            (4, self.skip),
            (1, self.unskip),
            (5, self.look),
        ]
        last: Engine | None = None
        while (engine := self._stage.engine()) is not None:
            if last is not None and last is not engine:
                last.close()
            last = engine
            verb = self._draw.choices([verb for _, verb in verbs], [weight for weight, _ in verbs])[0]
            try:
                verb(engine)
            except NO_ANSWER:
                time.sleep(0.01)  # it is dead; the next one comes
            time.sleep(self._draw.expovariate(1 / GAP_SECONDS))
        if last is not None:
            last.close()

    def ask(
        self,
        engine: Engine,
        verb: str,
        method: str,
        path: str,
        body: Any,
        *,
        job_id: str | None = None,
        given: dict[str, Any] | None = None,
        key: str | None = None,
    ) -> Call:
        """One request, noted before it is sent and again when it is answered.

        Raises:
            OSError, http.client.HTTPException: no answer came.
        """
        call = Call(verb, time.time(), job_id, {**(given or {}), **({"key": key} if key else {})})
        self._evidence.calls.append(call)
        answer = engine.request(method, path, body, {"Idempotency-Key": key} if key else {})
        # Before anything else, so that little can happen between the answer and the end.
        if answer.status < 300 and self._trap in (verb, "any"):
            os.kill(engine.process.pid, signal.SIGKILL)
            self._trap = None
            self.sprung.set()
        call.answered, call.status, call.answer = time.time(), answer.status, answer.body
        return call

    def launch(self, engine: Engine) -> None:
        """Start a run."""
        self._number += 1
        self._launch(engine, self._draw.choice(LAUNCHED), f"key {self._number}")

    def launch_again(self, engine: Engine) -> None:
        """Send a launch a second time, preferably one of which the answer was lost."""
        newest = self._keys[-20:]
        if earlier := [pair for pair in newest if pair[1] in self._unanswered] or newest:
            self._launch(engine, *self._draw.choice(earlier))

    def _launch(self, engine: Engine, job_id: str, key: str) -> None:
        self._keys.append((job_id, key))
        self._unanswered.add(key)
        call = self.ask(engine, "launch", "POST", f"/jobs/{job_id}/runs", {"reason": key}, job_id=job_id, key=key)
        self._unanswered.discard(key)
        if call.is_done:
            self._known.append(call.answer["id"])

    def cancel(self, engine: Engine) -> None:
        """Stop a run that goes on, or one that was launched a moment ago."""
        if self._draw.random() < 0.3 and self._known:
            self._cancel(engine, self._known[-1])
            return
        running = engine.get("/runs?state=RUNNING&limit=20")["items"]
        # Those that only a cancel ends first.
        long = [run for run in running if run["job_id"] in ("sleeper", "deaf")]
        if runs := long or running:
            self._cancel(engine, self._draw.choice(runs)["id"])

    def cancel_queued(self, engine: Engine) -> None:
        """Stop a run that waits."""
        if runs := engine.get("/runs?state=QUEUED&limit=20")["items"]:
            self._cancel(engine, self._draw.choice(runs)["id"])

    def _cancel(self, engine: Engine, run: str) -> None:
        body = {"force": self._draw.random() < 0.4}
        self.ask(engine, "cancel", "POST", f"/runs/{run}/cancel", body, given={"run": run})
        self._known.append(run)

    def toggle(self, engine: Engine) -> None:
        """Switch a job off or on; off sometimes for so long only."""
        enabled = self._draw.random() < 0.6
        until = time.time() + self._draw.uniform(1, 4) if not enabled and self._draw.random() < 0.3 else None
        self.switch(engine, self._draw.choice(TOGGLED), enabled=enabled, until=until)

    def switch(self, engine: Engine, job_id: str, *, enabled: bool, until: float | None = None) -> Call:
        """Switch a job."""
        body: dict[str, Any] = {"enabled": enabled}
        if until is not None:
            body["until"] = datetime.fromtimestamp(until, UTC).isoformat()
        given = {"enabled": enabled, "until": until}
        return self.ask(engine, "toggle", "PATCH", f"/jobs/{job_id}", body, job_id=job_id, given=given)

    def skip(self, engine: Engine) -> None:
        """Leave out a fire of the next seconds."""
        job_id, every_seconds = self._draw.choice(list(SKIPPED.items()))
        second = (int(time.time()) // every_seconds + self._draw.randrange(1, 4)) * every_seconds
        call = self._choose(engine, "skip", "POST", job_id, second)
        self._skips.append(call)

    def unskip(self, engine: Engine) -> None:
        """Let a fire happen after all."""
        coming = [call for call in self._skips if call.is_done and call.given["second"] > time.time()]
        if coming:
            call = self._draw.choice(coming)
            assert call.job_id is not None
            self._choose(engine, "unskip", "DELETE", call.job_id, call.given["second"])

    def _choose(self, engine: Engine, verb: str, method: str, job_id: str, second: int) -> Call:
        body = {"schedule": "default", "scheduled_at": datetime.fromtimestamp(second, UTC).isoformat()}
        return self.ask(engine, verb, method, f"/jobs/{job_id}/skips", body, job_id=job_id, given={"second": second})

    def look(self, engine: Engine) -> None:
        """Look at runs, and remember how those ended that are over."""
        for run in engine.get("/runs?limit=30")["items"]:
            note_end(self._evidence, run)
        if self._known:
            note_end(self._evidence, engine.get(f"/runs/{self._draw.choice(self._known[-30:])}"))


def follow(stage: Stage, evidence: Evidence) -> None:
    """Read the events of each engine, and remember how runs ended; until there is no engine any more."""
    engine, cursor = None, None
    while (engine := stage.engine(other_than=engine)) is not None:
        try:
            for line in engine.events(cursor):
                if line.startswith(b"id: "):
                    cursor = line[4:].decode().strip()
                elif line.startswith(b"data: {") and b'"kind":"run"' in line:
                    note_end(evidence, json.loads(line[6:])["record"])
        except (*NO_ANSWER, ValueError):  # the last line of a dead engine may be half a one
            continue


def note_end(evidence: Evidence, run: dict[str, Any]) -> None:
    """Remember the end of a run that is over."""
    if run["state"] in TERMINAL:
        evidence.seen.append(Seen(run["id"], run["state"], run["finished_at"], run["reason"]))
