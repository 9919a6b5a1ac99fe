"""An engine without workers and store, for tests of the API and of the front ends.

Its jobs, plans, forms and cards are the real engine's, and so are the records and events of every transition. What
steps do the test says (`tests.fakes.scripts`), and it moves runs on with `advance`, `finish` and `release`; with `auto`
a run goes as far as it can by itself as soon as it is launched. `tests/contract` holds it to the same tests as the real
engine.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nomaflow.access.accounts import Access
from nomaflow.definitions.catalogue import Catalogue
from nomaflow.engine.connectors import Connectors
from nomaflow.engine.door import Door
from nomaflow.engine.engine import Engine
from nomaflow.engine.feed import Feed
from nomaflow.engine.jobs import Jobs
from nomaflow.engine.model import InForce
from nomaflow.engine.pauses import Pauses
from nomaflow.engine.replays import Replays
from nomaflow.engine.schedules import Schedules
from nomaflow.engine.ticket import Ticket
from nomaflow.engine.timetable import Timetable
from nomaflow.engine.web import Web
from nomaflow.home import Home
from nomaflow.seams import Seams
from nomaflow.wire import BackupInfo, ConnectorTest
from tests.fakes.history import ScriptedHistory
from tests.fakes.sessions import SessionsInMemory

if TYPE_CHECKING:
    import trio

    from nomaflow.definitions.settings import Settings
    from nomaflow.engine.backups import Backups
    from nomaflow.engine.change import Change
    from nomaflow.engine.model import Actor, Slot
    from nomaflow.engine.ports import Secrets, Worker, Workers
    from nomaflow.engine.recorder import Recorder
    from nomaflow.engine.runner import Runner
    from nomaflow.engine.runs import Runs
    from nomaflow.engine.store import Store
    from nomaflow.wire import Run
    from tests.fakes.scripts import Script


ADMIN_TOKEN = "nfa_the-admin-token-of-every-fake-engine"


class FakeEngine(Engine):
    """The engine's verbs, and a few more for the test; `access` knows the accounts of the settings.

    Args:
        folder: an empty folder that becomes the home.
        jobs: the TOML text of each job, by id.
        settings: the text of `nomaflow.toml`.
        scripts: what the steps do, by job and step.
        callables: what python steps do that have no script, by callable; any other step ends well at once.
        broken: the connectors that do not answer, and what they say.
        auto: a launch, a cancel and a release go as far as they can before their call returns.
        seams: clock and randomness.
    """

    def __init__(
        self,
        folder: Path,
        jobs: Mapping[str, str],
        *,
        settings: str = "",
        scripts: Mapping[str, Mapping[str, Script]] | None = None,
        callables: Mapping[str, Script] | None = None,
        broken: Mapping[str, str] | None = None,
        auto: bool = False,
        seams: Seams | None = None,
    ) -> None:
        self.home, loaded = _made_home(folder, jobs, settings)
        self.in_force = InForce(loaded)
        self.scripts = {job: dict(steps) for job, steps in (scripts or {}).items()}
        self.broken, said = dict(broken or {}), dict(callables or {})
        self.why_not_ready: list[str] = []
        self.seams, feed = seams or Seams(), Feed(epoch=1, seq=0)
        self.access = Access(loaded, admin_token=ADMIN_TOKEN, sessions=SessionsInMemory(), seams=self.seams)
        catalogue = Catalogue(self.home.jobs_dir, loaded)
        self._scripted = ScriptedHistory(feed, self.seams, scripts=self.scripts, callables=said, auto=auto)
        # Of the runner they ask which runs are in flight, of the recorder to record a change; no more.
        runner, recorder = cast("Runner", self._scripted), cast("Recorder", Teller(feed))
        nursery = cast("trio.Nursery", AtOnce())
        timetable, board = Timetable([], 0, []), self._scripted.board
        door = Door(runner, board, feed, self.seams, self.in_force, nursery, folder, set(), self.not_ready)
        all_jobs = Jobs(
            self.home,
            self.in_force,
            catalogue,
            runner,
            board,
            recorder,
            self.access,
            self.seams,
            door,
            timetable,
            Pauses([]),
            not_ready=self.not_ready,
            held=lambda: None,
            on_settings=self.access.replace_settings,
            on_schedules=lambda: None,
        )
        all_jobs.watch_all()
        self._scripted.connect(all_jobs, door)
        connectors = FakeConnectors(self, catalogue, self.access)
        runs, store = cast("Runs", self._scripted), cast("Store", NoSlots())
        schedules = Schedules(timetable, all_jobs, runs, door, store, recorder, self.seams)
        replays = Replays(all_jobs, runs, door)
        backups = cast("Backups", FakeBackups(self.seams))
        super().__init__(
            all_jobs, runs, replays, schedules, feed, connectors, backups, lambda: list(self.why_not_ready)
        )

    async def advance(self, run_id: str) -> Run:
        """One change of the run, if anything may change; the run as it is then."""
        self._scripted.scripted(run_id).advance()
        return await self.run(run_id)

    async def finish(self, run_id: str) -> Run:
        """Move the run on until it is over, or hangs."""
        self._scripted.scripted(run_id).settle()
        return await self.run(run_id)

    async def release(self, run_id: str, step: str) -> Run:
        """Let a hanging step come to its end at the next `advance`; at once with `auto`."""
        run = self._scripted.scripted(run_id)
        run.release(step)
        self._scripted.settle(run)
        return await self.run(run_id)

    async def say(self, run_id: str, text: str, *, level: str = "INFO") -> None:
        """One more line in the log of the step that runs."""
        run = self._scripted.scripted(run_id)
        run.say(text, level=level, step=run.step)

    def stop(self) -> None:
        """End every stream, as the real engine does when it stops."""
        self.feed.close()
        self._scripted.close()


class FakeConnectors(Connectors):
    """The connectors as the real engine shows them; they answer unless they are `broken`."""

    def __init__(self, fake: FakeEngine, catalogue: Catalogue, access: Access) -> None:
        no_pool, no_secrets = cast("Workers[Worker]", None), cast("Secrets", None)
        super().__init__(fake.in_force, catalogue, no_pool, no_secrets, access, Web(fake.seams), str(fake.home.path))
        self._fake = fake

    async def test(self, name: str, actor: Actor) -> ConnectorTest:
        """Answer as the test said."""
        self._usable(name, actor)
        message = self._fake.broken.get(name)
        return ConnectorTest(ok=message is None, message=message or f"{name} answers", elapsed_ms=1.0)


class FakeBackups:
    """Backups without files."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._made: list[BackupInfo] = []

    async def make(self, days: int = 7, weeks: int = 4) -> BackupInfo:
        """One more."""
        now, name = self._seams.now(), f"backup-{len(self._made) + 1}"
        made = BackupInfo(
            name=name,
            path=f"/backups/{name}",
            created_at=now,
            verified_at=now,
            size_bytes=1000,
            runs=0,
            seq=0,
            epoch=1,
            schema_version=3,
            program="nomaflow",
        )
        self._made.insert(0, made)
        return made

    async def all(self) -> list[BackupInfo]:
        """Those that were made, newest first."""
        return list(self._made)


class NoSlots:
    """A store in which no fire was decided: this engine has no scheduler."""

    def slots(self, **which: object) -> list[Slot]:
        """None."""
        return []


class AtOnce:
    """A nursery for what waits for nothing: it is done when `start_soon` returns."""

    def start_soon(self, call: Callable[..., Coroutine[object, object, None]], *values: object) -> None:
        """Do it."""
        with suppress(StopIteration):
            call(*values).send(None)
            raise AssertionError(f"{call} waits for something")


class Teller:
    """A recorder without a store: what is recorded is told to those who follow."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def record(self, change: Change) -> None:
        """Tell the events of the change."""
        self.submit(change)

    def submit(self, change: Change, needs: Ticket | None = None) -> Ticket:
        """The same without waiting; here nothing waits."""
        self._feed.publish(change.events)
        ticket = Ticket(change)
        ticket.settle()
        return ticket


def _made_home(folder: Path, jobs: Mapping[str, str], settings: str) -> tuple[Home, Settings]:
    home = Home(folder)
    home.settings_file.write_text(settings)
    home.jobs_dir.mkdir(exist_ok=True)
    for job_id, text in jobs.items():
        (home.jobs_dir / f"{job_id}.toml").write_text(text)
    return home, home.load_settings()
