"""The jobs of a home: `jobs/*.toml` in and out.

A bad file is an entry with problems and never hides another one. Everything here is synchronous and touches the disk;
the engine calls it in a thread. Readers see whole entries at any time, and one change happens at a time.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from nomaflow.definitions import toml_edit, toml_file, toml_source
from nomaflow.definitions.job import Job, double_names
from nomaflow.definitions.problems import Found, Problem, near_miss
from nomaflow.definitions.record import JOB_ID_PATTERN
from nomaflow.definitions.references import unknown_connectors, unknown_references
from nomaflow.definitions.settings import Settings
from nomaflow.errors import InvalidError, JobChangedError, JobExistsError, NotFoundError

type Stamp = tuple[int, int, int]
"""A file's time of change in nanoseconds, its size and its inode: another one says that it may hold something else."""


@dataclass(frozen=True)
class Entry:
    """One file of the jobs folder.

    `job` is None while there are problems; `last_good` is then what the file held before, or None.
    """

    job_id: str
    path: Path
    raw: bytes = field(repr=False)
    etag: str
    job: Job | None
    last_good: Job | None = field(repr=False)
    problems: tuple[Problem, ...]
    stamp: Stamp | None = field(default=None, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The file as it is, byte order mark and line ends too."""
        return self.raw.decode(errors="replace")


@dataclass(frozen=True)
class Changes:
    """The job ids that a reload found new, different and gone."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


type Parsed = tuple[Job | None, tuple[Problem, ...]]


def parse(job_id: str, text: str, file: str, settings: Settings | None = None) -> Parsed:
    """A job's text as a job, or everything that is wrong with it.

    Args:
        job_id: the file's stem.
        text: the file's text.
        file: what problems call the file.
        settings: the home's, to check references with; None leaves them unchecked.
    """
    if problem := _bad_id(job_id, file):
        return None, (problem,)
    data, problems = toml_source.parse(text, file)
    if data is None:
        return None, problems
    if "id" in data:
        message = "is not a key of the file: a job's id is its file's name; take the line out"
        return None, toml_source.problems_at([(("id",), message)], data, text, file)
    for key in ("schedule", "schedules"):
        if key in data:
            data[key] = toml_source.dates_as_text(data[key])
    job, problems = toml_source.validate(Job, {**data, "id": job_id}, text, file, more=_of_unreadable(data, settings))
    if job is None or settings is None:
        return job, problems
    problems = toml_source.problems_at(unknown_references(job, settings), data, text, file)
    return (None if problems else job), problems


def _of_unreadable(data: Mapping[str, Any], settings: Settings | None) -> Iterator[Found]:
    """What is looked for in a job that can be read, as far as it can be found in one that can't."""
    for kind in ("steps", "schedules"):
        items = data.get(kind)
        if isinstance(items, list):
            yield from double_names(kind, [isinstance(item, Mapping) and item.get("name") for item in items])
    if settings:
        yield from unknown_connectors(data, settings)


class Catalogue:
    """All jobs of one folder, loaded when made.

    Args:
        jobs_dir: the folder; a missing one is an empty one.
        settings: the home's, to check references with; None leaves them unchecked.
        token: gives the random end of a temporary file's name.
    """

    def __init__(
        self,
        jobs_dir: Path,
        settings: Settings | None = None,
        *,
        token: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self.jobs_dir = jobs_dir
        self._settings = settings
        self._token = token
        self._changing = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self.reload()

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Every file by its id, in order of the ids."""
        return MappingProxyType(self._entries)

    def entry(self, job_id: str) -> Entry:
        """One file.

        Raises:
            NotFoundError: there is none of that id.
        """
        if job_id not in self._entries:
            raise self._not_found(job_id)
        return self._entries[job_id]

    def fresh(self, job_id: str) -> Entry:
        """One file as it is on the disk now: read again if it was changed since it was read.

        While another change is being made, what is known is given: this never waits.

        Raises:
            NotFoundError: there is none of that id.
        """
        known = self._entries.get(job_id)
        if known is None or known.stamp == _stamp(known.path) or not self._changing.acquire(blocking=False):
            return self.entry(job_id)
        try:
            return self._reread(job_id)
        finally:
            self._changing.release()

    def check(self, job_id: str, text: str) -> Parsed:
        """What saving the text would say; nothing is written."""
        return parse(job_id, text, self._label(job_id), self._settings)

    def reload(self, settings: Settings | None = None) -> Changes:
        """Read the folder again.

        Args:
            settings: the home's new ones; None keeps those that are known.
        """
        with self._changing:
            if settings is not None:
                self._settings = settings
            old = self._entries
            # Files that did not change are still checked against changed settings.
            loaded = [self._load(stem, keep=settings is None) for stem in sorted(self._stems())]
            self._entries = new = {entry.job_id: entry for entry in loaded if entry}
            return Changes(
                added=tuple(job_id for job_id in new if job_id not in old),
                changed=tuple(job_id for job_id in new if job_id in old and new[job_id] != old[job_id]),
                removed=tuple(job_id for job_id in old if job_id not in new),
            )

    def create(self, job_id: str, text: str) -> Entry:
        """A new job.

        Raises:
            InvalidError: it is not valid; a detail for each problem.
            JobExistsError: there is a file of that name.
            NotReadyError: the disk does not take it.
        """
        with self._changing:
            self._validate(job_id, text)
            if os.path.lexists(self._path(job_id)):
                raise JobExistsError(f"there is a job {job_id!r} already; choose another id, or change that job")
            self.jobs_dir.mkdir(exist_ok=True)
            return self._write(job_id, text)

    def save(self, job_id: str, text: str, if_match: str) -> Entry:
        """Replace a job's text.

        Args:
            if_match: the etag of the version that the caller has changed.

        Raises:
            NotFoundError: there is no such job.
            JobChangedError: the file is another version by now; the details hold both texts.
            InvalidError: the text is not valid; a detail for each problem.
            NotReadyError: the disk does not take it.
        """
        with self._changing:
            current = self._current(job_id)
            _check_version(job_id, current, if_match, given=text)
            if current.startswith(toml_source.BOM.encode()) and not text.startswith(toml_source.BOM):
                text = toml_source.BOM + text
            self._validate(job_id, text)
            return self._write(job_id, text)

    def delete(self, job_id: str, if_match: str) -> None:
        """Delete a job's file; what `save` says of `if_match` holds here too."""
        with self._changing:
            _check_version(job_id, self._current(job_id), if_match)
            toml_file.remove(self._path(job_id))
            self._put(job_id, None)

    def set_enabled(self, job_id: str, enabled: bool) -> Entry:
        """Switch a job on or off in its file, leaving every other byte as it is there now.

        Raises:
            NotFoundError: there is no such job.
            InvalidError: the file has problems; they must be mended first.
            NotReadyError: the disk does not take it.
        """
        with self._changing:
            text, problems = toml_source.decode(self._current(job_id), self._label(job_id))
            if problems:
                raise toml_source.invalid_error(problems)
            self._validate(job_id, text)
            try:
                changed = toml_edit.set_enabled(text, enabled)
            except ValueError as error:
                raise toml_source.invalid_error([Problem(self._label(job_id), str(error))]) from None
            return self._write(job_id, changed) if changed != text else self._reread(job_id)

    def _validate(self, job_id: str, text: str) -> None:
        job, problems = self.check(job_id, text)
        if not problems:
            try:
                toml_edit.check_editable(text)
            except ValueError as error:
                problems = (Problem(self._label(job_id), str(error)),)
        if job is None or problems:
            raise toml_source.invalid_error(problems)

    def _current(self, job_id: str) -> bytes:
        """The bytes on the disk, which an editor may have changed since the last reload."""
        if _bad_id(job_id, ""):
            raise self._not_found(job_id)
        try:
            return toml_file.read(self._path(job_id))
        except FileNotFoundError:
            self._put(job_id, None)
            raise self._not_found(job_id) from None
        except ValueError as error:
            raise toml_source.invalid_error([Problem(self._label(job_id), str(error))]) from None

    def _write(self, job_id: str, text: str) -> Entry:
        toml_file.write(self._path(job_id), text.encode(), self._token)
        return self._reread(job_id)

    def _reread(self, job_id: str) -> Entry:
        entry = self._load(job_id)
        self._put(job_id, entry)
        return self.entry(job_id)

    def _not_found(self, job_id: str) -> NotFoundError:
        return NotFoundError(f"there is no job {job_id[:80]!r}" + near_miss(job_id[:80], self._entries))

    def _put(self, job_id: str, entry: Entry | None) -> None:
        # A new dict each time: somebody may be reading the old one.
        entries = {known: other for known, other in self._entries.items() if known != job_id}
        if entry:
            entries[job_id] = entry
        self._entries = dict(sorted(entries.items()))

    def _load(self, stem: str, *, keep: bool = True) -> Entry | None:
        # A name may be bytes that are no text; as an id it must travel as JSON.
        job_id = os.fsencode(stem).decode(errors="backslashreplace")
        path, label, old = self._path(stem), self._label(job_id), self._entries.get(job_id)
        raw, job, stamp = b"", None, _stamp(path)
        try:
            raw = toml_file.read(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            problems: tuple[Problem, ...] = (Problem(label, str(error)),)
        else:
            if keep and old and raw and old.raw == raw:
                return replace(old, stamp=stamp)
            text, problems = toml_source.decode(raw, label)
            if not problems:
                job, problems = parse(job_id, text, label, self._settings)
        last_good = job or (old.last_good if old else None)
        return Entry(job_id, path, raw, toml_file.etag(raw), job, last_good, problems, stamp)

    def _stems(self) -> list[str]:
        try:
            names = os.listdir(self.jobs_dir)
        except FileNotFoundError:
            return []
        return [name.removesuffix(".toml") for name in names if name.endswith(".toml") and not name.startswith(".")]

    def _path(self, job_id: str) -> Path:
        return self.jobs_dir / f"{job_id}.toml"

    def _label(self, job_id: str) -> str:
        return f"{self.jobs_dir.name}/{job_id}.toml"


def text_of(values: Mapping[str, JsonValue]) -> str:
    """A job that was given as values, as text to create or save.

    Raises:
        InvalidError: there are more values than a text may hold, or a null in a list.
    """
    waiting: list[JsonValue] = [dict(values)]
    count = -1
    while waiting:
        value = waiting.pop()
        count += 1
        if count > toml_source.MAX_VALUES:
            raise InvalidError(f"the job {toml_source.TOO_MANY_VALUES}")
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    try:
        return toml_edit.job_text(values)
    except ValueError as error:
        raise InvalidError(f"the job {error}") from None


def _stamp(path: Path) -> Stamp | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _bad_id(job_id: str, file: str) -> Problem | None:
    if re.fullmatch(JOB_ID_PATTERN, job_id):
        return None
    mended = re.sub(r"[^a-z0-9_-]+", "-", job_id.lower()).strip("-_")[:64]
    hint = f"; name it {mended}.toml" if mended else ""
    return Problem(
        file, f"has a name that is no job id: 1 to 64 of a-z, 0-9, `-` and `_`, a letter or digit first{hint}"
    )


def _check_version(job_id: str, current: bytes, if_match: str, given: str = "") -> None:
    if toml_file.etag(current) == if_match:
        return
    raise JobChangedError(
        f"{job_id} was changed by somebody else in the meantime; look at both versions and save again",
        details=[
            {
                "message": "the file as it is now, and the text that was to replace it",
                "current": current.decode(errors="replace"),
                "given": given,
            }
        ],
    )
