"""What the program holds in memory, idle: the proportional set size, which shares shared pages out fairly."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.servers.engine import Child, engine

ROOT = Path(__file__).parent.parent.parent
SETTLE_SECONDS = 10


@dataclass(frozen=True)
class Idle:
    """One start on the sample home: seconds until ready, MB of the first process and of all that came from it."""

    start_seconds: float
    first_mb: float
    all_mb: float


def sample_home(command: str) -> Idle:
    """`serve` or `up` on a copy of the sample home, started a second time: the first start makes its databases."""
    with tempfile.TemporaryDirectory(prefix="nomaflow-bench-") as folder:
        home = Path(folder)
        shutil.copy(ROOT / "nomaflow.toml", home)
        shutil.copytree(ROOT / "jobs", home / "jobs")
        with engine(home, command) as child:
            _wait_until_idle(child)
        with engine(home, command) as child:
            _wait_until_idle(child)
            time.sleep(SETTLE_SECONDS)
            pss = {pid: pss_mb(pid) for pid in family(child.process.pid)}
            return Idle(child.start_seconds, pss[child.process.pid], sum(pss.values()))


def pss_mb(pid: int) -> float:
    """The proportional set size of a process in MB (10⁶ bytes); 0 when it is gone."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        if found := re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE):
            return int(found[1]) * 1024 / 1e6
    return 0.0


def family(pid: int) -> list[int]:
    """A process and all that came from it."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in brackets may hold spaces and brackets itself.
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def _wait_until_idle(child: Child) -> None:
    while any(card["active_runs"] for card in child.request("GET", "/jobs")["items"]):
        time.sleep(0.2)
