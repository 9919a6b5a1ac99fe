"""What a step's code is given: `StepContext`."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from nomaflow.worker.connector import Connector, SyncConnector, dropped, first_line

Json = Any
Row = tuple[Any, ...]

GRACE_SECONDS = 10.0
"""How long a step is given to end by itself, where the engine does not say otherwise."""

CUT_SECONDS = 5.0
"""When a connection is cut whose server does not answer; earlier where the step's process has not much longer."""

MIN_CUT_SECONDS = 0.15
"""A server that answers does so in some milliseconds, and what it confirms is worth this wait."""

STATEMENT_SECONDS = 0.5
"""How long a statement may take to end by its driver's cancel before the code around it is interrupted."""

log = logging.getLogger(__name__)


class StepCanceled(BaseException):
    """The step is asked to stop. A BaseException, so that `except Exception` does not swallow it."""


class ConnectorError(LookupError):
    """A connector that there is not, or that the run may not use; the message says which and why."""

    lasting = "what the run may use does not change by itself"


class UnknownStepError(KeyError):
    """No earlier step has that name."""

    lasting = "the job's steps stay as they are"

    def __init__(self, name: str, earlier: list[str]) -> None:
        super().__init__(name)
        known = f"those before this one are {', '.join(earlier)}" if earlier else "this one is the first"
        self._message = f"there is no earlier step {name!r}; {known}"

    def __str__(self) -> str:
        return self._message


class Canceler:
    """How to stop what runs now. `cancel` may come from any thread, before, during or after the work.

    `grace_seconds` is how long the work then has until its process is ended.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._hooks: list[Callable[[], object]] = []
        self._statements = 0
        self.why: str | None = None
        self.grace_seconds = GRACE_SECONDS
        self.interruptible = False

    def cancel(self, why: str, grace_seconds: float = GRACE_SECONDS) -> None:
        """Remember the request and call every hook that is armed."""
        with self._lock:
            self.why = self.why or why
            self.grace_seconds = grace_seconds
            hooks = list(self._hooks)
        for hook in reversed(hooks):
            try:
                hook()
            except Exception as error:
                # The work may have ended in this moment; and the thread that hears cancels has to live on.
                log.warning("asking the step to stop failed: %s", error)

    @contextmanager
    def interrupting_main_thread(self) -> Iterator[None]:
        """Let a cancel raise `StepCanceled` in the main thread, once, wherever its Python code is."""
        with self.armed(lambda: threading.Thread(target=self._interrupt, daemon=True, name="interrupt").start()):
            self.interruptible = True
            try:
                if self.why is not None:
                    raise StepCanceled
                yield
            finally:
                self.interruptible = False

    def _cut_seconds(self) -> float:
        return max(MIN_CUT_SECONDS, min(CUT_SECONDS, self.grace_seconds / 2))

    def stop(self) -> StepCanceled:
        """What to raise in the step's own code; it is not interrupted a second time."""
        if threading.current_thread() is threading.main_thread():
            self.interruptible = False
        return StepCanceled()

    def _interrupt(self) -> None:
        # A driver that is interrupted leaves its connection in the middle of something, and its server unasked.
        ends = time.monotonic() + STATEMENT_SECONDS
        while self._statements and self.interruptible and time.monotonic() < ends:
            time.sleep(0.002)
        # A signal that comes in the moment before a system call begins does not end the call, so one is not enough.
        main_thread, pause_seconds = threading.main_thread().ident, 0.02
        assert main_thread is not None
        while self.interruptible:
            signal.pthread_kill(main_thread, signal.SIGUSR1)
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, 1.0)

    @contextmanager
    def stopping(self, database: Database, *, patience: float = 1) -> Iterator[None]:
        """Cancel what the connection does when a cancel comes inside the block.

        Of two connections that wait for each other, the one with more `patience` is cut later, or not at all.
        """
        with self.armed(lambda: database.cancel(self._cut_seconds() * patience)):
            with self._lock:
                self._statements += 1
            try:
                yield
            finally:
                with self._lock:
                    self._statements -= 1

    @contextmanager
    def armed(self, hook: Callable[[], object]) -> Iterator[None]:
        """Call `hook` when a cancel comes inside the block; at once if it has come already."""
        with self._lock:
            self._hooks.append(hook)
            already = self.why is not None
        try:
            if already:
                hook()
            yield
        finally:
            with self._lock:
                self._hooks.remove(hook)


class Database(Protocol):
    """An open connection of one connector; every backend in `nomaflow.steps.databases` is one.

    `server_process` is the number by which the server knows the connection's own process; None where there is none.
    `about_to_commit` is called before anything is made to last; after a kill one knows by it what is rolled back.
    """

    backend: str
    server_process: int | None
    about_to_commit: Callable[[], None]

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> int:
        """Run one statement with `:name` parameters; the rows it affected, or returned."""

    def fetch(self, sql: str, params: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of one statement."""

    def stream(
        self, sql: str, params: Mapping[str, Any] | None = None, *, size: int = 1000
    ) -> Generator[Sequence[Row], None, None]:
        """The rows in batches; no other statement may run meanwhile."""

    def commit(self) -> None: ...
    def rollback(self) -> bool | None:
        """Drop the changes.

        Returns:
            Whether all of them are gone: False where a statement ran that no transaction holds, None where the server
            could not say so.
        """

    def cancel(self, cut_seconds: float = CUT_SECONDS) -> None:
        """Stop the statement that runs now; safe from another thread, and never waits itself.

        The connection to a server that has not answered after so long is cut.
        """

    def close(self) -> None: ...

    @property
    def may_go_on(self) -> bool:
        """Whether the server may still work on a statement of this connection, which is closed."""


def unheard() -> None:
    """Nobody wants to know."""


def undescribed(name: str, kind: str) -> Mapping[str, Any]:
    """Nobody knows where it leads."""
    raise ConnectorError(f"The connector {name!r} cannot be opened here")


@dataclass(frozen=True)
class PreviousStep:
    """An earlier step of the same run."""

    output: dict[str, Json]
    status: str


@dataclass
class StepContext:
    """What a step may see and say.

    `params` holds the job's params, the step's op_kwargs and what was changed for this run, merged. `session_user` is
    who started the run, as in its `triggered_by`. `rolled_back` is for the receipt of a cancel: a step that knows
    whether its changes are gone sets it. `describe_connector(name, kind)` is for steps that open one themselves: where
    it leads and its secrets, or a `ConnectorError` if it is of another kind.
    """

    run_id: str
    job_id: str
    step_name: str
    attempt: int
    log_level: str
    session_user: str
    params: dict[str, Json]
    log: logging.Logger
    canceler: Canceler = field(repr=False)
    emit_progress: Callable[[dict[str, Json]], None] = field(repr=False)
    open_connector: Callable[[str], Database] = field(repr=False)
    in_thread: Callable[..., Awaitable[Any]] = field(repr=False)
    describe_connector: Callable[[str, str], Mapping[str, Any]] = field(default=undescribed, repr=False)
    outputs: dict[str, PreviousStep] = field(default_factory=dict)
    home: str = "."
    rolled_back: bool | None = None
    _open: dict[str, SyncConnector] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get_connector(self, name: str) -> Connector:
        """The connector of that name, opened at its first use and closed when the step ends."""
        return Connector(lambda: self._sync(name), self.in_thread)

    def is_cancelled(self) -> bool:
        """Whether the step is asked to stop."""
        return self.canceler.why is not None

    def checkpoint(self) -> None:
        """End the step here if it is asked to stop.

        Raises:
            StepCanceled: it is.
        """
        if self.is_cancelled():
            raise self.canceler.stop()

    def progress(self, done: int, total: int | None = None, *, unit: str = "rows", text: str = "") -> None:
        """Tell how far the step is; the newest one is shown."""
        self.emit_progress({"done": done, "total": total, "unit": unit, "text": text})

    def previous_step(self, name: str) -> PreviousStep:
        """The output and state of an earlier step.

        Raises:
            UnknownStepError: no earlier step of this run has that name. A KeyError, too.
        """
        if name not in self.outputs:
            raise UnknownStepError(name, list(self.outputs))
        return self.outputs[name]

    @contextmanager
    def undoing(self, changed: Database, *read: Database) -> Iterator[None]:
        """Where the block fails, roll back what it changed and remember whether that is gone.

        Raises:
            StepCanceled: the step was asked to stop, and what the block raised comes of that.
        """
        try:
            yield
        except BaseException as error:
            self.rolled_back = dropped(changed)
            for database in read:
                dropped(database)
            if isinstance(error, Exception) and self.is_cancelled():
                self.log.info("stopped: %s", first_line(error))
                raise StepCanceled from error
            raise

    def close(self) -> None:
        """Close every connection that the step opened; what is not committed is rolled back."""
        with ExitStack() as stack:  # one that fails keeps no other one open
            for connector in self._open.values():
                stack.callback(connector._database.close)
            self._open.clear()

    def _sync(self, name: str) -> SyncConnector:
        with self._lock:
            if name not in self._open:
                self._open[name] = SyncConnector(name, self.open_connector(name), self.canceler)
            return self._open[name]
