"""Kills engines: `python -m tests.faults.kills [KILLS [SEED]]` does it on a new home and prints what is wrong.

An engine is killed at a random moment, or right after it has acknowledged something, or while it starts; its workers
are left to themselves, and the next engine is started. The last one is stopped cleanly. One more is started then, all
schedules are switched off, and when nothing goes on any more it is asked for everything.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.faults import checks, home
from tests.faults.evidence import Evidence, read_marks
from tests.faults.people import People, Stage, follow
from tests.faults.process import Engine, NotReadyError, workers_of

LONGEST_LIFE_SECONDS = 3.0
QUIET_SECONDS = 60
OUTAGE_SECONDS = 66.0
"""Longer than a fire may be late and still happen as if nothing had been."""

TRAPS = ("launch", "cancel", "toggle", "skip", "any")
NO_LINE = re.compile(r"Traceback|^\S+ \S+ (ERROR|CRITICAL) ", re.MULTILINE)
"""What an engine has no reason to print, however the one before it ended."""


class Kills:
    """All lives of one home.

    Args:
        folder: an empty one.
        seed: decides when engines die and what people do.
        has_outage: once in the middle, no engine runs for longer than `OUTAGE_SECONDS`.
    """

    def __init__(self, folder: Path, seed: int, *, has_outage: bool = False) -> None:
        self._home, self._draw = folder, random.Random(seed)
        self._has_outage = has_outage
        self.evidence = Evidence()
        self._stage = Stage()
        self._people = People(self._stage, self.evidence, random.Random(seed + 1))

    def run(self, kills: int) -> Evidence:
        """So many engines are killed; what was seen."""
        home.make(self._home)
        threads = [
            threading.Thread(target=self._people.work, daemon=True),
            threading.Thread(target=follow, args=(self._stage, self.evidence), daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            for number in range(kills):
                # The first one lives until it is ready: fires are counted from then on.
                self._kill_one(is_first=number == 0)
                if self._has_outage and number == kills // 2:
                    time.sleep(OUTAGE_SECONDS)
            self._live_and_stop()
        finally:
            self._stage.end()
            for thread in threads:
                thread.join(60)
        self._tell_all()
        return self.evidence

    def _kill_one(self, *, is_first: bool) -> None:
        how = self._draw.choices(["at random", "after an answer", "while it starts"], [11, 5, 4])[0]
        engine = self._begin("at random" if is_first else how)
        if engine.life.how == "while it starts":
            time.sleep(self._draw.uniform(0.05, 1.5))
        else:
            self._wait_ready(engine)
            self._stage.set(engine)
            self._wait_for_the_moment(engine.life.how)
        engine.kill()
        self._stage.set(None)
        self._look_at_output(engine)
        if self._draw.random() < 0.2:
            time.sleep(self._draw.uniform(0, 2))

    def _wait_for_the_moment(self, how: str) -> None:
        if how == "at random":
            time.sleep(self._draw.uniform(0.2, LONGEST_LIFE_SECONDS))
            return
        time.sleep(self._draw.uniform(0.1, 1))
        self._people.set_trap(self._draw.choice(TRAPS))
        self._people.sprung.wait(LONGEST_LIFE_SECONDS)
        self._people.drop_trap()

    def _begin(self, how: str) -> Engine:
        engine = Engine(self._home, len(self.evidence.lives) + 1, how)
        self.evidence.lives.append(engine.life)
        return engine

    def _wait_ready(self, engine: Engine) -> None:
        try:
            engine.wait_ready()
        except NotReadyError:
            engine.kill()
            raise
        for pid, of in workers_of(self._home).items():
            if of != engine.process.pid:
                text = f"the worker {pid} of an earlier engine still lives when engine {engine.life.number} is ready"
                self.evidence.broken.append(text)

    def _live_and_stop(self) -> None:
        engine = self._begin("stopped")
        self._wait_ready(engine)
        self._stage.set(engine)
        time.sleep(1.5)
        self._stage.set(None)
        time.sleep(0.2)
        if (code := engine.stop()) != 0:
            self.evidence.broken.append(f"an engine that was stopped by SIGTERM ended with {code}")
        self._look_at_output(engine)

    def _tell_all(self) -> None:
        """Start once more, wait for quiet, and ask for everything."""
        engine = self._begin("stopped")
        self._wait_ready(engine)
        try:
            for kind in home.KINDS.values():
                if kind.every_seconds:
                    self._people.switch(engine, kind.id, enabled=False)
            self._wait_for_quiet(engine)
            self._launch_again(engine)
            self._dump(engine)
        finally:
            engine.close()
            if (code := engine.stop()) != 0:
                self.evidence.broken.append(f"an engine that was stopped by SIGTERM ended with {code}")
        self._look_at_output(engine)
        if left := workers_of(self._home):
            self.evidence.broken.append(f"workers are left when all engines are gone: {sorted(left)}")
        self.evidence.marks = read_marks(self._home, home.MARKS)
        self.evidence.sql_marks = list(home.sql_marks(self._home))

    def _wait_for_quiet(self, engine: Engine) -> None:
        ends = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < ends:
            active = [run for card in engine.get("/jobs")["items"] for run in card["active_runs"]]
            if not active:
                return
            for run in active:
                if run["state"] == "RUNNING":
                    self._people.ask(
                        engine, "cancel", "POST", f"/runs/{run['id']}/cancel", {"force": True}, given={"run": run["id"]}
                    )
            time.sleep(0.2)
        self.evidence.broken.append(f"after {QUIET_SECONDS} s without a fire runs still go on")

    def _launch_again(self, engine: Engine) -> None:
        """Send acknowledged launches once more: they start nothing."""
        done = {call.given["key"]: call for call in self.evidence.calls if call.verb == "launch" and call.is_done}
        for key, call in list(done.items())[-200:]:
            path = f"/jobs/{call.job_id}/runs"
            self._people.ask(engine, "launch", "POST", path, {"reason": key}, job_id=call.job_id, key=key)

    def _dump(self, engine: Engine) -> None:
        evidence = self.evidence
        for summary in engine.pages("/runs?limit=500"):
            evidence.runs[summary["id"]] = engine.get(f"/runs/{summary['id']}")
            evidence.logs[summary["id"]] = _log(engine, summary["id"])
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(evidence.lives[0].started_at - 60))
        slots = engine.pages(f"/schedule?since={since}&limit=500")
        evidence.slots = [slot for slot in slots if slot["state"] != "DUE"]
        evidence.cards = engine.get("/jobs")["items"]

    def _look_at_output(self, engine: Engine) -> None:
        printed = engine.output()
        if found := NO_LINE.search(printed):
            shown = printed[max(0, found.start() - 200) : found.start() + 3000]
            self.evidence.broken.append(f"engine {engine.life.number} printed an error: {shown}")


def _log(engine: Engine, run: str) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    while True:
        page = engine.get(f"/runs/{run}/logs?after={lines[-1]['seq'] if lines else 0}&limit=500")
        lines += page["lines"]
        if page["end"] or not page["lines"]:
            return lines


def main(kills: int, seed: int) -> int:
    """Kill so many, print figures and what is wrong; 1 if anything is, and then the home is kept."""
    folder = Path(tempfile.mkdtemp(prefix="nomaflow-kills-"))
    sys.stdout.write(f"seed {seed}, home {folder}\n")
    evidence = Kills(folder, seed, has_outage=kills >= 100).run(kills)
    problems = checks.problems(evidence)
    sys.stdout.write("\n".join([*evidence.summary(), *(problems or ["nothing is wrong"])]) + "\n")
    if not problems:
        shutil.rmtree(folder)
    return 1 if problems else 0


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:3]]
    sys.exit(main(*given, *[12, random.randrange(10**6)][len(given) :]))
