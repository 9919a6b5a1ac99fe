"""The home's code that this process has loaded, and whether its files have changed since.

Edited files are used at the next run: a worker that has loaded an older version says so and is replaced.
"""

from __future__ import annotations

import os
import sys

_TOO_LATE = 0
"""A stamp that no file has: it was changed after the step began, so the change may or may not have been loaded."""


class LoadedFiles:
    """Looks at each loaded module once; libraries are many and do not change."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._stamps: dict[str, int] = {}

    def look(self, import_root: str, begun_ns: int) -> None:
        """Take up what was loaded since the last look, by a step that began then."""
        files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        new = {path for path in files if path} - self._seen
        self._seen |= new
        prefix = os.path.join(os.path.realpath(import_root), "")
        for path in new:
            if os.path.realpath(path).startswith(prefix):
                changed_ns = _changed_at_ns(path)
                self._stamps[path] = changed_ns if changed_ns < begun_ns else _TOO_LATE

    def have_changed(self) -> bool:
        """Whether any of the home's files is another one by now."""
        return any(stamp <= _TOO_LATE or _changed_at_ns(path) != stamp for path, stamp in self._stamps.items())


def _changed_at_ns(path: str) -> int:
    """When a file was changed; -1 where it is gone."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1
