"""Jobs that steps call, and that are not there or take other values."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomaflow.definitions.calls import unfit_calls
from nomaflow.definitions.catalogue import Catalogue

CHILD = """
[params]
apps_id = 1
secret_name = { type = "text", default = "x", locked = true }
[[steps]]
name = "load"
type = "python"
callable = "code:main"
[steps.op_kwargs]
full = false
"""


def told(jobs: Path, call: str) -> list[tuple[str, str]]:
    """What is said of a call: where, and the sentence."""
    (jobs / "child.toml").write_text(CHILD)
    (jobs / "broken.toml").write_text("nonsense")
    (jobs / "parent.toml").write_text(f'[params]\nid = 1\n[[steps]]\nname = "call"\ntype = "call_job"\n{call}')
    catalogue = Catalogue(jobs)
    job = catalogue.entry("parent").job
    assert job, catalogue.entry("parent").problems
    found = unfit_calls(job, catalogue.entries.keys(), lambda job_id: catalogue.entries[job_id].job)
    return [(".".join(map(str, where)), message) for where, message in found]


@pytest.mark.parametrize(
    "call",
    [
        'job = "child"\n',
        'job = "broken"\nparams = { anything = 1 }\n',
        'job = "child"\nparams = { apps_id = 2 }\nsteps = { load = { enabled = false } }\n',
        'job = "child"\nsteps = { load = { op_kwargs = { full = true, apps_id = 3 } } }\n',
        'job = "child"\nparams = { apps_id = "${kw:id}" }\n',
    ],
)
def test_a_call_that_fits_is_left_alone(tmp_path: Path, call: str) -> None:
    """What is put in when the step starts is not known before; a broken file says itself what is wrong."""
    assert told(tmp_path, call) == []


@pytest.mark.parametrize(
    ("call", "where", "message"),
    [
        ('job = "chid"\n', "steps.0.job", "names an unknown job 'chid'; did you mean \"child\"?"),
        (
            'job = "child"\nparams = { aps_id = 2 }\n',
            "steps.0.params.aps_id",
            "does not fit child: unknown parameter 'aps_id'; did you mean \"apps_id\"?",
        ),
        (
            'job = "child"\nparams = { apps_id = "2" }\n',
            "steps.0.params.apps_id",
            "does not fit child: apps_id must be a whole number, not '2'",
        ),
        (
            'job = "child"\nsteps = { lod = {} }\n',
            "steps.0.steps.lod",
            "does not fit child: unknown step 'lod'; did you mean \"load\"?",
        ),
    ],
)
def test_a_call_that_does_not_fit_is_told(tmp_path: Path, call: str, where: str, message: str) -> None:
    """With its place, and what is near it."""
    assert told(tmp_path, call) == [(where, message)]
