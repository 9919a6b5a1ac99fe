"""What a copy tells a person."""

from __future__ import annotations


class CopyError(Exception):
    """The copy cannot be done as asked, or its result is not what the source holds; the target is as it was."""

    lasting: str | None = "tables and values stay as they are"


class SourceChangedError(CopyError):
    """The source gave other rows than it had counted: somebody wrote to it meanwhile."""

    lasting = None
