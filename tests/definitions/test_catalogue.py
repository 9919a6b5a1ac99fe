"""Jobs in and out of their folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nomaflow.definitions import toml_file
from nomaflow.definitions.catalogue import Catalogue, parse
from nomaflow.definitions.settings import Settings
from nomaflow.errors import InvalidError, JobChangedError, JobExistsError, NotFoundError, NotReadyError

STEP = '[[steps]]\nname = "A"\ntype = "python"\ncallable = "hello:main"\n'
GOOD = f'description = "Good."\n{STEP}'
SETTINGS = Settings.model_validate(
    {
        "connectors": {
            "jde": {"kind": "sql", "url": "sqlite:///jde.db"},
            "partner": {"kind": "http", "url": "https://api.example.org"},
        }
    }
)


@pytest.fixture
def jobs_dir(tmp_path: Path) -> Path:
    """A folder with one good job."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "good.toml").write_text(GOOD)
    return folder


def test_a_new_job_is_written_and_known(jobs_dir: Path) -> None:
    """The entry that comes back is what the file holds."""
    catalogue = Catalogue(jobs_dir)
    entry = catalogue.create("new-job", GOOD)
    assert entry.job
    assert (jobs_dir / "new-job.toml").read_text() == GOOD
    assert catalogue.entry("new-job") == entry == Catalogue(jobs_dir).entry("new-job")
    assert list(catalogue.entries) == ["good", "new-job"]


def test_a_new_job_takes_nobodys_place(jobs_dir: Path) -> None:
    """Neither a known job's nor that of a file that came since, nor one outside the folder."""
    catalogue = Catalogue(jobs_dir)
    (jobs_dir / "late.toml").write_text("late")
    for job_id in ("good", "late"):
        with pytest.raises(JobExistsError):
            catalogue.create(job_id, GOOD)
    assert (jobs_dir / "late.toml").read_text() == "late"
    for job_id in ("../out", "a/b", "", "Upper", "x\0"):
        with pytest.raises(InvalidError, match="is no job id"):
            catalogue.create(job_id, GOOD)
    assert not (jobs_dir.parent / "out.toml").exists()


def test_a_save_needs_the_version_that_is_on_the_disk(jobs_dir: Path) -> None:
    """An edit in between is told with both versions, and nothing is lost."""
    catalogue = Catalogue(jobs_dir)
    etag = catalogue.entry("good").etag
    mine, theirs = GOOD.replace("Good", "Mine"), GOOD.replace("Good", "Theirs")
    (jobs_dir / "good.toml").write_text(theirs)
    with pytest.raises(JobChangedError) as caught:
        catalogue.save("good", mine, etag)
    assert caught.value.details[0]["current"] == theirs
    assert caught.value.details[0]["given"] == mine
    with pytest.raises(JobChangedError):
        catalogue.delete("good", etag)
    catalogue.reload()
    saved = catalogue.save("good", mine, catalogue.entry("good").etag)
    assert saved.job
    assert saved.job.description == "Mine."
    catalogue.delete("good", saved.etag)
    assert not catalogue.entries
    assert not list(jobs_dir.iterdir())


def test_an_invalid_save_changes_nothing(jobs_dir: Path) -> None:
    """Everything is checked first; each problem comes with its line."""
    catalogue = Catalogue(jobs_dir)
    before = catalogue.entry("good")
    with pytest.raises(InvalidError) as caught:
        catalogue.save("good", "enabled = 1\nlogs = 2\n" + STEP, before.etag)
    assert [detail["line"] for detail in caught.value.details] == [1, 2]
    assert catalogue.entry("good") == before
    assert (jobs_dir / "good.toml").read_text() == GOOD


def test_a_save_can_mend_a_bad_file(jobs_dir: Path) -> None:
    """A file with problems has a version too; what it was when good is remembered until then."""
    catalogue = Catalogue(jobs_dir)
    (jobs_dir / "good.toml").write_text("nonsense")
    changes = catalogue.reload()
    assert changes.changed == ("good",)
    bad = catalogue.entry("good")
    assert bad.job is None
    assert bad.last_good
    with pytest.raises(InvalidError):
        catalogue.set_enabled("good", False)
    assert catalogue.save("good", GOOD, bad.etag).job


def test_a_file_keeps_its_mode_and_byte_order_mark(jobs_dir: Path) -> None:
    """A save replaces the text and nothing else about the file."""
    path = jobs_dir / "good.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    path.chmod(0o640)
    catalogue = Catalogue(jobs_dir)
    catalogue.save("good", GOOD.replace("Good", "Better"), catalogue.entry("good").etag)
    assert path.read_bytes() == b"\xef\xbb\xbf" + GOOD.replace("Good", "Better").encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [file.name for file in jobs_dir.iterdir()] == ["good.toml"]


def test_a_toggle_works_on_what_is_on_the_disk(jobs_dir: Path) -> None:
    """It changes the newest text, never puts an older one back."""
    catalogue = Catalogue(jobs_dir)
    (jobs_dir / "good.toml").write_text("enabled = true # on\n" + GOOD)
    entry = catalogue.set_enabled("good", False)
    assert entry.job
    assert not entry.job.enabled
    assert (jobs_dir / "good.toml").read_text() == "enabled = false # on\n" + GOOD
    assert catalogue.set_enabled("good", False) == entry
    with pytest.raises(NotFoundError, match="did you mean"):
        catalogue.set_enabled("god", True)


def test_a_toggle_of_a_file_that_is_gone(jobs_dir: Path) -> None:
    """It is not found, and not listed any more."""
    catalogue = Catalogue(jobs_dir)
    (jobs_dir / "good.toml").unlink()
    with pytest.raises(NotFoundError):
        catalogue.set_enabled("good", False)
    assert not catalogue.entries


def test_a_toggle_never_mends_bytes_that_are_no_text(jobs_dir: Path) -> None:
    """What can't be decoded can't be written back as it was."""
    raw = b"# \xff\n" + GOOD.encode()
    (jobs_dir / "good.toml").write_bytes(raw)
    with pytest.raises(InvalidError, match="is not UTF-8"):
        Catalogue(jobs_dir).set_enabled("good", False)
    assert (jobs_dir / "good.toml").read_bytes() == raw


@pytest.mark.parametrize("job_id", ["../good", "a/../good", "/etc/passwd", ".", "", "good\0"])
def test_no_id_leads_out_of_the_folder(jobs_dir: Path, job_id: str) -> None:
    """An id that is none is simply not found."""
    (jobs_dir.parent / "good.toml").write_text(GOOD)
    catalogue = Catalogue(jobs_dir)
    with pytest.raises(NotFoundError):
        catalogue.set_enabled(job_id, False)
    with pytest.raises(NotFoundError):
        catalogue.delete(job_id, toml_file.etag(GOOD.encode()))
    with pytest.raises(NotFoundError):
        catalogue.save(job_id, GOOD, toml_file.etag(GOOD.encode()))


def test_a_reload_says_what_changed(jobs_dir: Path) -> None:
    """New, changed and gone files, each by its id; the same bytes are no change."""
    (jobs_dir / "same.toml").write_text(GOOD)
    (jobs_dir / "gone.toml").write_text(GOOD)
    catalogue = Catalogue(jobs_dir)
    same = catalogue.entry("same")
    (jobs_dir / "good.toml").write_text("enabled = false\n" + GOOD)
    (jobs_dir / "new.toml").write_text(GOOD)
    (jobs_dir / "gone.toml").unlink()
    os.utime(jobs_dir / "same.toml")
    changes = catalogue.reload()
    assert (changes.added, changes.changed, changes.removed) == (("new",), ("good",), ("gone",))
    assert catalogue.entry("same") == same


def test_changed_settings_check_the_jobs_again(jobs_dir: Path) -> None:
    """A connector that is gone is a problem of the jobs that name it, without a change of theirs."""
    (jobs_dir / "sql.toml").write_text('[[steps]]\nname="A"\ntype="sql_query"\nconnector="jde"\nquery="select 1"\n')
    catalogue = Catalogue(jobs_dir, SETTINGS)
    assert catalogue.entry("sql").job
    assert catalogue.reload(Settings()).changed == ("sql",)
    assert catalogue.entry("sql").problems[0].line == 4
    assert catalogue.reload(SETTINGS).changed == ("sql",)
    assert catalogue.entry("sql").job


SQL_STEP = '[[steps]]\nname = "A"\ntype = "sql_query"\nquery = "select 1"\n'
REFERENCES = {
    "a connector": (
        SQL_STEP + 'connector = "jdee"\n',
        "steps.A.connector names an unknown connector 'jdee'; did you",
        5,
    ),
    "a connector of another kind": (SQL_STEP + 'connector = "partner"\n', "is a connector of kind http", 5),
    "a param's connector": (f'[params]\nconnector = "jd"\n{STEP}', "params.connector names an unknown connector", 2),
    "an op_kwarg's connector": (
        STEP + '[steps.op_kwargs]\nsource_connector = "x"\n',
        "steps.A.op_kwargs.source_connector names",
        6,
    ),
    "a schedule's connector": (
        f'[params]\nconnector = "jde"\n[schedule]\ncron = "0 1 * * *"\nparams = {{ connector = "x" }}\n{STEP}',
        "names an unknown connector 'x'",
        5,
    ),
    "a parameter": (
        '[params]\ntarget = "x"\n' + SQL_STEP + 'connector = "${kw:taget}"\n',
        "but there is no parameter 'taget'; did you mean \"target\"?",
        7,
    ),
    "a later step": (
        SQL_STEP + 'connector = "jde"\nparams = { n = "${out:B.rows}" }\n' + STEP.replace('"A"', '"B"'),
        "but no earlier step is named 'B'",
        6,
    ),
    "shell": (
        '[[steps]]\nname = "A"\ntype = "shell"\nargv = ["true"]\n',
        "steps.A.type is shell, which is switched",
        3,
    ),
}


@pytest.mark.parametrize("what", REFERENCES)
def test_a_reference_that_leads_nowhere_is_told(what: str) -> None:
    """Names are checked against the home's settings and the job's own parts, with a suggestion and a line."""
    text, message, line = REFERENCES[what]
    assert parse("x", text, "x.toml")[0]
    job, problems = parse("x", text, "x.toml", SETTINGS)
    assert job is None
    assert message in str(problems[0])
    assert problems[0].line == line


def test_good_references_are_no_problem() -> None:
    """Names that are there, parameters that hold names, earlier steps' output."""
    text = (
        '[params]\ntarget_connector = "jde"\nperiod = 2026-01-31\n'
        '[schedule]\ncron = "@daily"\nparams = { period = 2026-02-01 }\n'
        + SQL_STEP
        + 'connector = "${kw:target_connector}"\n'
        + STEP.replace('"A"', '"B"')
        + '[[steps]]\nname = "C"\ntype = "sql_query"\nconnector = "jde"\nquery = "select :n"\n'
        + 'params = { n = "${out:A.rows}", day = "${today}" }\n'
    )
    job, problems = parse("x", text, "x.toml", SETTINGS)
    assert not problems
    assert job
    assert job.params["period"].type == "date"
    assert job.schedules[0].params == {"period": "2026-02-01"}


def test_a_full_disk_leaves_the_old_file(jobs_dir: Path) -> None:
    """The temporary file can't be made, so the job stays as it was, and one sentence says so."""
    catalogue = Catalogue(jobs_dir, token=lambda: "x" * 300)  # a name that no file system takes
    with pytest.raises(NotReadyError, match=r"good\.toml could not be saved: .*; nothing was changed"):
        catalogue.set_enabled("good", False)
    assert (jobs_dir / "good.toml").read_text() == GOOD
