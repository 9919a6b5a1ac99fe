"""Problems as an error that travels."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomaflow.definitions.catalogue import Catalogue
from nomaflow.definitions.settings import Settings
from nomaflow.errors import InvalidError
from nomaflow.home import read_settings

STEP = '[[steps]]\nname = "A"\ntype = "sql_query"\nconnector = "jed"\nquery = "select 1"\n'


def test_each_detail_can_be_read_alone(tmp_path: Path) -> None:
    """It names its field in the sentence, and has path and line beside it; a single one is in the headline as it is."""
    with pytest.raises(InvalidError) as caught:
        Catalogue(tmp_path).create("a", "enabld = true\n" + STEP)
    [detail] = caught.value.details
    assert detail == {
        "message": 'enabld is not a known key; did you mean "enabled"?',
        "path": "enabld",
        "line": 1,
    }
    assert detail["message"] in caught.value.message


def test_unknown_connectors_are_told_beside_other_problems(tmp_path: Path) -> None:
    """Nobody has to mend one kind of problem to hear of the next."""
    settings = Settings.model_validate({"connectors": {"jde": {"kind": "sql", "url": "sqlite:///x"}}})
    with pytest.raises(InvalidError) as caught:
        Catalogue(tmp_path, settings).create("a", "enabld = true\n" + STEP + "timeout = 3\n")
    assert [(detail["path"], detail["line"]) for detail in caught.value.details] == [
        ("enabld", 1),
        ("steps.A.connector", 5),
        ("steps.A.timeout", 7),
    ]


def test_a_wrong_kind_is_told_at_its_own_line() -> None:
    """By its own name, and with the kinds that there are."""
    _, [problem] = read_settings('[connectors.x]\n\nkind = "postgres"\nurl = "sqlite:///x"\n')
    assert str(problem) == (
        "nomaflow.toml:3: connectors.x.kind must be one of 'sql', 'http', 'ldap', not 'postgres'; did you mean \"sql\"?"
    )
