"""The run store: every SQL statement of ours, synchronous.

    store.py        the store as its callers know it; one connection writes, readers take cursors of it
    file.py         its files, and how DuckDB opens them; connection.py: an open one
    opening.py      opened whatever a crash has left; examination.py: read as a whole; migrations.py: older ones
    writing.py      a commit; reading.py, searching.py, timing.py: what is asked; pruning.py: what retention deletes
    mark.py         the high-water mark, by which a loss is noticed
    checkpoint.py   when and how; copies.py and copying.py: the child process that copies an open store

No other module of ours opens the file, and of the program nobody but DuckDB.
"""

from __future__ import annotations

from nomaflow.engine.store.file import SCHEMA_VERSION, StoreBrokenError, StoreError, StoreFiles
from nomaflow.engine.store.store import Store

__all__ = ["SCHEMA_VERSION", "Store", "StoreBrokenError", "StoreError", "StoreFiles"]
