"""The process that runs steps: `python -m nomaflow.worker.main`.

The step's code has the main thread, where a signal can interrupt it. One thread reads frames, so that a cancel is
heard while the step works; one writes them, so that an interrupt never falls into the middle of a frame. File
descriptor 1 is pointed at stderr first: what C code and children print cannot corrupt the frames and still reaches the
run's log.
"""

from __future__ import annotations

import ctypes
import importlib
import io
import itertools
import logging
import os
import queue
import signal
import sys
import threading
import time
from typing import Any, BinaryIO

from nomaflow.worker import failures, lasting, protocol
from nomaflow.worker.connector import in_thread
from nomaflow.worker.context import (
    GRACE_SECONDS,
    Canceler,
    ConnectorError,
    Database,
    PreviousStep,
    StepCanceled,
    StepContext,
)
from nomaflow.worker.loaded import LoadedFiles

MAX_HELD = 1024 * 1024
"""Characters of one frame's log lines, so that many long ones do not make a frame that the engine refuses; and of a
line that has not ended yet."""

MAX_WAITING = 20_000
"""Messages that wait for a slow engine before the step itself has to wait."""

SWITCH_SECONDS = 0.0005
"""How long a busy step keeps the interpreter from the threads that hear a cancel."""

_C = ctypes.CDLL(None)
_PR_SET_CHILD_SUBREAPER = 36


class Channel:
    """Frames out, in the order they are sent."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # SimpleQueue.put cannot be left half done by a signal, which Queue's locks can.
        self._waiting: queue.SimpleQueue[protocol.Message | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._write_forever, daemon=True, name="frames out").start()

    def send(self, message: protocol.Message) -> None:
        while self._waiting.qsize() > MAX_WAITING:
            time.sleep(0.001)
        self._waiting.put(message)

    def send_at_once(self, message: protocol.Message) -> None:
        """Return when it is in the pipe, where it outlives this process."""
        written = threading.Event()
        self.send(message)
        self._waiting.put(written)
        written.wait()

    def log(self, level: str, stream: str, text: str) -> None:
        if len(text) > protocol.MAX_LINE:
            text = f"{text[: protocol.MAX_LINE]} … ({len(text) - protocol.MAX_LINE} more characters)"
        self.send({"log": [[time.time(), level, stream, text]]})

    def _write_forever(self) -> None:
        while True:
            taken = [self._waiting.get()]
            while not self._waiting.empty() and len(taken) < 1000:
                taken.append(self._waiting.get())
            messages = [message for message in taken if isinstance(message, dict)]
            data = b"".join(protocol.pack(message) for message in _joined(messages))
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                _end_group()
            for written in taken:
                if isinstance(written, threading.Event):
                    written.set()


def _joined(messages: list[protocol.Message]) -> list[protocol.Message]:
    """Log messages that follow each other as one."""
    joined: list[protocol.Message] = []
    held = 0
    for message in messages:
        size = sum(len(text) for *_, text in message.get("log", ()))
        if "log" in message and joined and "log" in joined[-1] and held + size <= MAX_HELD:
            joined[-1]["log"].extend(message["log"])
            held += size
        else:
            joined.append(message)
            held = size
    return joined


class Lines(io.TextIOBase):
    """The step's `sys.stdout` or `sys.stderr`: one log line a line, also where several threads print."""

    encoding = "utf-8"

    def __init__(self, channel: Channel, stream: str, level: str) -> None:
        self._channel, self._stream, self._level = channel, stream, level
        self._parts: dict[int, str] = {}

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Where a child that is given this stream writes to; it reaches the run's log too."""
        return 2

    def write(self, text: str) -> int:
        thread = threading.get_ident()
        *whole, part = (self._parts.pop(thread, "") + text).split("\n")
        if len(part) > MAX_HELD:
            whole, part = [*whole, part], ""
        for line in whole:
            self._channel.log(self._level, self._stream, line.rstrip("\r").rsplit("\r", 1)[-1])
        if part:
            self._parts[thread] = part
        return len(text)

    def drain(self) -> None:
        while self._parts:
            _, part = self._parts.popitem()
            self.write(f"{part}\n")


class Records(logging.Handler):
    """What the step and its libraries log."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).split("\n"):
            self._channel.log(record.levelname, getattr(record, "stream", "log"), line)


class Worker:
    """One process; one step at a time."""

    def __init__(self, inward: BinaryIO, channel: Channel) -> None:
        self._inward, self._channel = inward, channel
        self._specs: queue.SimpleQueue[tuple[dict[str, Any], Canceler]] = queue.SimpleQueue()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._ask_ids = itertools.count(1)
        self._canceler = Canceler()
        self._opened: list[tuple[str, Database]] = []
        self._has_told_commit = False
        self._loaded = LoadedFiles()

    def run(self) -> None:
        signal.signal(signal.SIGUSR1, self._interrupt)
        # Ctrl-C in a terminal is the engine's business.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._read_forever, daemon=True, name="frames in").start()
        self._channel.send({"ready": os.getpid()})
        while True:
            spec, canceler = self._specs.get()
            if self._loaded.have_changed():
                self._channel.send({"stale": True})
                continue
            begun_ns = time.time_ns()
            end = self._end_of(spec, canceler)
            if spec["runs_code"]:
                self._loaded.look(spec["import_root"], begun_ns)
            _flush_c_streams()
            self._channel.send(end)

    def _read_forever(self) -> None:
        while (message := protocol.read(self._inward)) is not None:
            if "step" in message:
                self._canceler = Canceler()
                self._specs.put((message["step"], self._canceler))
            elif "cancel" in message:
                self._canceler.cancel(message["cancel"], message.get("grace_seconds", GRACE_SECONDS))
            elif "answer" in message:
                self._answers[message["answer"]["ask"]].put(message["answer"])
        _end_group()

    def _interrupt(self, *_: object) -> None:
        if self._canceler.interruptible:
            # Once: what cleans up after it is left alone.
            self._canceler.interruptible = False
            raise StepCanceled

    def _end_of(self, spec: dict[str, Any], canceler: Canceler) -> protocol.Message:
        """Run one step in the main thread; its one ending."""
        out, err = Lines(self._channel, "stdout", "INFO"), Lines(self._channel, "stderr", "WARNING")
        handler, root = Records(self._channel), logging.getLogger()
        usual = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = out, err
        root.addHandler(handler)
        root.setLevel(spec["log_level"])
        logging.captureWarnings(True)
        # Not from the tree of loggers: a `dictConfig` in the step's code switches off all that are there before it.
        log = logging.Logger("nomaflow.step", spec["log_level"])  # noqa: LOG001  # see above
        log.addHandler(handler)
        context = self._context(spec, canceler, log)
        self._opened, self._has_told_commit = [], False
        end: protocol.Message
        try:
            action = importlib.import_module(f"nomaflow.steps.{spec['type']}")
            context.checkpoint()
            output = action.run(context, spec["options"]) or {}
            # One that was asked to stop and came to its end all the same keeps its real end.
            return {"done": {"output": output, "rows_affected": _rows(output)}}
        except StepCanceled:
            end = {"canceled": canceler.why}
        except BaseException as error:
            described = failures.described(error, spec["import_root"] if spec["runs_code"] else None)
            end = {"failed": described | lasting.verdict(error).fields()}
        finally:
            _closed(context)
            out.drain()
            err.drain()
            sys.stdout, sys.stderr = usual
            root.removeHandler(handler)
            log.removeHandler(handler)
        if context.rolled_back is not None:
            end["rolled_back"] = context.rolled_back
        if left := self._left():
            end["left"] = left
        return end

    def _context(self, spec: dict[str, Any], canceler: Canceler, log: logging.Logger) -> StepContext:
        outputs = {name: PreviousStep(**previous) for name, previous in spec["outputs"].items()}
        return StepContext(
            run_id=spec["run_id"],
            job_id=spec["job_id"],
            step_name=spec["step"],
            attempt=spec["attempt"],
            log_level=spec["log_level"],
            session_user=spec["session_user"],
            params=spec["kwargs"],
            log=log,
            canceler=canceler,
            emit_progress=lambda progress: self._channel.send({"progress": progress}),
            open_connector=lambda name: self._open(name, spec.get("connectors", {})),
            describe_connector=lambda name, kind: self._described(name, kind, spec.get("connectors", {})),
            in_thread=in_thread,
            outputs=outputs,
            home=spec["home"],
        )

    def _described(self, name: str, kind: str, given: dict[str, dict[str, Any]]) -> dict[str, Any]:
        answer = given.get(name) or self._ask(name)
        if "error" in answer:
            raise ConnectorError(answer["error"])
        connector: dict[str, Any] = answer["connector"]
        if (actual := connector.get("kind", "sql")) != kind:
            wanted = "get_connector opens those" if kind == "sql" else "this step needs one"
            raise ConnectorError(f"{name!r} is a connector of kind {actual}; {wanted} of kind {kind}")
        return connector

    def _open(self, name: str, given: dict[str, dict[str, Any]]) -> Database:
        databases = importlib.import_module("nomaflow.steps.databases")
        database: Database = databases.open_database(self._described(name, "sql", given))
        self._opened.append((name, database))
        database.about_to_commit = self._tell_commit
        if database.server_process is not None:
            # Told now: who is killed in mid-statement cannot say what it leaves behind.
            self._channel.send({"server": {"connector": name, "process": database.server_process}})
        return database

    def _tell_commit(self) -> None:
        """Tell it once, and before it is done: who dies in the middle of it cannot say how far it came."""
        if not self._has_told_commit:
            self._has_told_commit = True
            self._channel.send_at_once({"commits": True})

    def _left(self) -> list[dict[str, Any]]:
        """The connections, all closed, whose server may still work on a statement."""
        return [
            {"connector": name, "process": database.server_process}
            for name, database in self._opened
            if database.may_go_on
        ]

    def _ask(self, name: str) -> dict[str, Any]:
        ask = next(self._ask_ids)
        answers = self._answers[ask] = queue.SimpleQueue()
        self._channel.send({"ask": {"ask": ask, "connector": name}})
        answer = answers.get()
        del self._answers[ask]
        return answer


def _closed(context: StepContext) -> None:
    try:
        context.close()
    except Exception as error:  # told in the run's log; the step has ended already
        context.log.warning("closing a connection failed: %s", error)


def _rows(output: dict[str, Any]) -> int | None:
    rows = output.get("rows_affected", output.get("target_rows")) if isinstance(output, dict) else None
    return rows if isinstance(rows, int) else None


def _flush_c_streams() -> None:
    """What C code has printed is still in C's own buffer; it belongs to the step that ends."""
    _C.fflush(None)


def _adopt_orphans() -> None:
    """Become the parent of what the step's children leave behind, so that it is seen when the step has ended.

    Linux only; elsewhere an orphan that stays in the process group is found by its group.
    """
    if sys.platform == "linux":
        _C.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_group() -> None:
    """The engine is gone: end with everything that the step has started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def main() -> None:
    """Take the pipes that the engine gave and serve steps until it is gone."""
    # A cancel is the work of other threads than the step's own, which may be busy.
    sys.setswitchinterval(SWITCH_SECONDS)
    inward = os.fdopen(os.dup(0), "rb")
    outward = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    # Its lines are about the loop and not about the step; a step that wants them sets the level itself.
    logging.getLogger("asyncio").setLevel(logging.INFO)
    _adopt_orphans()
    Worker(inward, Channel(outward)).run()


if __name__ == "__main__":
    main()
