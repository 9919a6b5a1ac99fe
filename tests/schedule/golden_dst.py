"""What fires on days on which the clocks are changed: the table that the tests hold every part of the schedule to."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Golden:
    """The fires of one rule on one local day (or several), as the wall shows them with their offset, and their notes.

    `told` is what the preview says of the change.
    """

    cron: str
    zone: str
    day: str
    fires: list[str]
    notes: dict[str, str] = field(default_factory=dict)
    told: str = ""
    days: int = 1


_NO = ", which does not exist on that day"

GOLDEN = [
    # A time of day that is skipped comes once, with the first minute after the gap.
    Golden(
        "30 2 * * *",
        "Europe/Paris",
        "2026-03-29",
        ["03:00 +0200"],
        {"03:00 +0200": f"moved from 02:30{_NO}"},
        "On 29 Mar 2026 02:30 does not exist: it fires at 03:00.",
    ),
    Golden("0 2 * * *", "Europe/Paris", "2026-03-29", ["03:00 +0200"], {"03:00 +0200": f"moved from 02:00{_NO}"}),
    Golden("30 2 29 3 *", "Europe/Paris", "2026-03-29", ["03:00 +0200"], {"03:00 +0200": f"moved from 02:30{_NO}"}),
    Golden("30 2 * * sun", "Europe/Paris", "2026-03-29", ["03:00 +0200"], {"03:00 +0200": f"moved from 02:30{_NO}"}),
    Golden("30 2 * * mon-sat", "Europe/Paris", "2026-03-29", []),
    Golden("30 1 * * *", "Europe/Paris", "2026-03-29", ["01:30 +0100"]),
    Golden("0 3 * * *", "Europe/Paris", "2026-03-29", ["03:00 +0200"]),
    Golden("0 0 * * *", "Europe/Paris", "2026-03-29", ["00:00 +0100"]),
    Golden(
        "0,30 2 * * *",
        "Europe/Paris",
        "2026-03-29",
        ["03:00 +0200"],
        {"03:00 +0200": "moved from 02:00 and 02:30, which do not exist on that day"},
        "On 29 Mar 2026 02:00 and 02:30 do not exist: it fires at 03:00.",
    ),
    Golden(
        "0,20,40 2 * * *",
        "Europe/Paris",
        "2026-03-29",
        ["03:00 +0200"],
        {"03:00 +0200": "moved from 02:00 to 02:40, which do not exist on that day"},
    ),
    Golden(
        "0,30 2,3 * * *",
        "Europe/Paris",
        "2026-03-29",
        ["03:00 +0200", "03:30 +0200"],
        {"03:00 +0200": "also stands for 02:00 and 02:30, which do not exist on that day"},
    ),
    Golden(
        "30 2 * * *",
        "America/New_York",
        "2026-03-08",
        ["03:00 -0400"],
        {"03:00 -0400": f"moved from 02:30{_NO}"},
    ),
    Golden(
        "0 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-04",
        ["02:30 +1100"],
        {"02:30 +1100": f"moved from 02:00{_NO}"},
        "On 4 Oct 2026 02:00 does not exist: it fires at 02:30.",
    ),
    Golden(
        "0 0 * * *",
        "America/Sao_Paulo",
        "2018-11-04",
        ["01:00 -0200"],
        {"01:00 -0200": f"moved from 00:00{_NO}"},
        "On 4 Nov 2018 00:00 does not exist: it fires at 01:00.",
    ),
    Golden(
        "30 2 * * *",
        "Africa/Casablanca",
        "2026-03-22",
        ["03:00 +0100"],
        {"03:00 +0100": f"moved from 02:30{_NO}"},
    ),
    Golden(
        "30 1 * * *",
        "Antarctica/Troll",
        "2026-03-29",
        ["03:00 +0200"],
        {"03:00 +0200": f"moved from 01:30{_NO}"},
    ),
    # A day that is skipped whole.
    Golden(
        "30 2 * * *",
        "Pacific/Apia",
        "2011-12-29",
        ["02:30 -1000", "00:00 +1400", "02:30 +1400"],
        {"00:00 +1400": "moved from 02:30 on 30 Dec 2011, which does not exist there"},
        "On 30 Dec 2011 02:30 does not exist: it fires at 00:00 on 31 Dec 2011.",
        days=3,
    ),
    Golden(
        "30 2 30 12 *",
        "Pacific/Apia",
        "2011-12-29",
        ["00:00 +1400"],
        days=3,
        notes={"00:00 +1400": "moved from 02:30 on 30 Dec 2011, which does not exist there"},
    ),
    Golden(
        "0 12 * * *",
        "Pacific/Kwajalein",
        "1993-08-20",
        ["12:00 -1200", "00:00 +1200", "12:00 +1200"],
        {"00:00 +1200": "moved from 12:00 on 21 Aug 1993, which does not exist there"},
        days=3,
    ),
    # A clock that is set by a part of a minute: Liberia gave up an offset of 44 minutes and 30 seconds.
    Golden(
        "30 0 * * *",
        "Africa/Monrovia",
        "1972-01-07",
        ["00:45 +0000"],
        {"00:45 +0000": f"moved from 00:30{_NO}"},
    ),
    # A time of day that comes twice fires the first time.
    Golden(
        "30 2 * * *",
        "Europe/Paris",
        "2026-10-25",
        ["02:30 +0200"],
        {"02:30 +0200": "02:30 CEST, the first of two"},
        "On 25 Oct 2026 02:30 comes twice: it fires the first time only (CEST).",
    ),
    Golden(
        "0 2 * * *",
        "Europe/Paris",
        "2026-10-25",
        ["02:00 +0200"],
        {"02:00 +0200": "02:00 CEST, the first of two"},
    ),
    Golden("0 3 * * *", "Europe/Paris", "2026-10-25", ["03:00 +0100"]),
    Golden(
        "30 1 * * *",
        "America/New_York",
        "2026-11-01",
        ["01:30 -0400"],
        {"01:30 -0400": "01:30 EDT, the first of two"},
    ),
    Golden(
        "30 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-05",
        ["01:30 +1100"],
        {"01:30 +1100": "01:30 +11, the first of two"},
        "On 5 Apr 2026 01:30 comes twice: it fires the first time only (+11).",
    ),
    Golden("15 1 * * *", "Australia/Lord_Howe", "2026-04-05", ["01:15 +1100"]),
    Golden(
        "30 23 * * *",
        "America/Sao_Paulo",
        "2018-02-17",
        ["23:30 -0200"],
        {"23:30 -0200": "23:30 -02, the first of two"},
    ),
    Golden(
        "0-59 0-23 * * *",  # no star, so times of day, though all of them
        "Australia/Lord_Howe",
        "2026-04-05",
        [f"{minute // 60:02}:{minute % 60:02} {'+1100' if minute < 120 else '+1030'}" for minute in range(24 * 60)],
        {f"01:{minute} +1100": f"01:{minute} +11, the first of two" for minute in range(30, 60)},
        "On 5 Apr 2026 01:30 to 01:59 come twice: it fires the first time only (+11).",
    ),
    # A spacing goes on in real time: nothing for the gap, twice in the repeated hour.
    Golden(
        "*/30 1-3 * * *",
        "Europe/Paris",
        "2026-03-29",
        ["01:00 +0100", "01:30 +0100", "03:00 +0200", "03:30 +0200"],
        told="On 29 Mar 2026 the clock goes from 02:00 to 03:00: nothing fires between.",
    ),
    Golden(
        "*/15 2 * * *",
        "Europe/Paris",
        "2026-03-29",
        [],
        told="On 29 Mar 2026 the clock goes from 02:00 to 03:00: nothing fires between.",
    ),
    Golden(
        "*/30 1-3 * * *",
        "Europe/Paris",
        "2026-10-25",
        [f"{time} +0200" for time in ("01:00", "01:30", "02:00", "02:30")]
        + [f"{time} +0100" for time in ("02:00", "02:30", "03:00", "03:30")],
        {
            "02:00 +0200": "02:00 CEST, the first of two",
            "02:30 +0200": "02:30 CEST, the first of two",
            "02:00 +0100": "02:00 CET, the second of two",
            "02:30 +0100": "02:30 CET, the second of two",
        },
        "On 25 Oct 2026 the time from 02:00 to 03:00 comes twice: it fires both times.",
    ),
    Golden(
        "30 */2 25 10 *",
        "Europe/Paris",
        "2026-10-25",
        ["00:30 +0200", "02:30 +0200", "02:30 +0100", *(f"{hour:02}:30 +0100" for hour in range(4, 24, 2))],
        {"02:30 +0200": "02:30 CEST, the first of two", "02:30 +0100": "02:30 CET, the second of two"},
    ),
    Golden(
        "30 */2 29 3 *",
        "Europe/Paris",
        "2026-03-29",
        ["00:30 +0100", *(f"{hour:02}:30 +0200" for hour in range(4, 24, 2))],
        told="On 29 Mar 2026 the clock goes from 02:00 to 03:00: nothing fires between.",
    ),
    Golden(
        "0 * 8 3 *",
        "America/New_York",
        "2026-03-08",
        ["00:00 -0500", "01:00 -0500"] + [f"{hour:02}:00 -0400" for hour in range(3, 24)],
        told="On 8 Mar 2026 the clock goes from 02:00 to 03:00: nothing fires between.",
    ),
    Golden(
        "*/20 1,2 * * *",
        "Australia/Lord_Howe",
        "2026-10-04",
        ["01:00 +1030", "01:20 +1030", "01:40 +1030", "02:40 +1100"],
        told="On 4 Oct 2026 the clock goes from 02:00 to 02:30: nothing fires between.",
    ),
    Golden(
        "*/20 1,2 * * *",
        "Australia/Lord_Howe",
        "2026-04-05",
        ["01:00 +1100", "01:20 +1100", "01:40 +1100", "01:40 +1030", "02:00 +1030", "02:20 +1030", "02:40 +1030"],
        {"01:40 +1100": "01:40 +11, the first of two", "01:40 +1030": "01:40 +1030, the second of two"},
        "On 5 Apr 2026 the time from 01:30 to 02:00 comes twice: it fires both times.",
    ),
    Golden(
        "*/30 0 * * *",
        "America/Sao_Paulo",
        "2018-11-04",
        [],
        told="On 4 Nov 2018 the clock goes from 00:00 to 01:00: nothing fires between.",
    ),
    Golden(
        "*/30 0,1 4 11 *",
        "America/Sao_Paulo",
        "2018-11-04",
        ["01:00 -0200", "01:30 -0200"],
        told="On 4 Nov 2018 the clock goes from 00:00 to 01:00: nothing fires between.",
    ),
    Golden(
        "30 */6 * * *",
        "Pacific/Apia",
        "2011-12-29",
        [f"{hour}:30 {offset}" for offset in ("-1000", "+1400") for hour in ("00", "06", "12", "18")],
        told="On 30 Dec 2011 the clock goes from 00:00 to 00:00 on 31 Dec 2011: nothing fires between.",
        days=3,
    ),
    # Seconds follow their minute, so that a rule with `0` for seconds fires as the one without.
    Golden(
        "30 2 * * * 15,45",
        "Europe/Paris",
        "2026-03-29",
        ["03:00:15 +0200", "03:00:45 +0200"],
        {
            "03:00:15 +0200": f"moved from 02:30:15{_NO}",
            "03:00:45 +0200": f"moved from 02:30:45{_NO}",
        },
        "On 29 Mar 2026 02:30:15 and 02:30:45 do not exist: it fires at 03:00.",
    ),
    Golden(
        "30 2 * * * */30",
        "Europe/Paris",
        "2026-10-25",
        ["02:30:00 +0200", "02:30:30 +0200"],
        {
            "02:30:00 +0200": "02:30:00 CEST, the first of two",
            "02:30:30 +0200": "02:30:30 CEST, the first of two",
        },
    ),
    Golden(
        "0 */2 25 10 * 30",
        "Europe/Paris",
        "2026-10-25",
        ["00:00:30 +0200", "02:00:30 +0200", "02:00:30 +0100"] + [f"{hour:02}:00:30 +0100" for hour in range(4, 24, 2)],
        {
            "02:00:30 +0200": "02:00:30 CEST, the first of two",
            "02:00:30 +0100": "02:00:30 CET, the second of two",
        },
    ),
]
