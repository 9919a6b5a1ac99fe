"""A run store as years of work leave it: as many runs as asked for, made by DuckDB itself, always the same ones.

Two hundred jobs of one to nine steps, five on average; a few run all the time and most of them rarely. Of a hundred
runs 93 end well, 5 fail and 2 are canceled; most are fired by a schedule. Values are mostly the saved ones of the job;
each run by hand carries a ticket that no other run has, so that a rare value can be looked for.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from nomaflow.engine.rows import naive
from nomaflow.engine.store import Store

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAYS = 90
JOBS = 200

_RUNS = """
CREATE TEMP TABLE made AS
WITH numbered AS (
    SELECT
        i,
        (hash(i) >> 1)::BIGINT AS h,
        -- The cube of an even spread: the first jobs run every few minutes, the last ones once a day.
        floor($jobs * pow(hash(i) % 1000003 / 1000003, 3))::INTEGER AS job,
        epoch_ms($start::TIMESTAMP) + (i * $span_ms // $runs)::BIGINT AS queued_ms
    FROM generate_series(0, $runs - 1) AS series(i)
)
SELECT
    i,
    h,
    job,
    1 + (job + 4) % 9 AS steps,
    (1 + 3 * i + 2 * coalesce(sum(steps) OVER (ORDER BY i ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW), 0))::BIGINT
        AS first_event,
    (queued_ms << 20) + (h >> 20) % 1048576 AS id,
    -- Microseconds, as the engine stores them; no two instants of a run are the same.
    make_timestamp(queued_ms * 1000 + h % 1000) AS queued_at,
    make_timestamp(queued_ms * 1000 + 2000 + h % 40000) AS started_at,
    -- Seconds to minutes, and every thousandth one long.
    make_timestamp(queued_ms * 1000 + 400000 + (h >> 8) % 240000000 + if(h % 1000 = 0, 7200000000, 0)) AS finished_at,
    CASE WHEN (h >> 4) % 100 < 93 THEN 'SUCCEEDED' WHEN (h >> 4) % 100 < 98 THEN 'FAILED' ELSE 'CANCELED' END AS state,
    (h >> 12) % (1 + (job + 4) % 9) AS stopped_at,
    (h >> 16) % 10 = 0 AS by_hand,
    ['ana', 'bea', 'vic', 'admin'][1 + (h >> 24) % 4] AS person,
    ['web', 'slack', 'cli', 'api'][1 + (h >> 28) % 4] AS surface,
    if((h >> 16) % 50 = 0, ((h >> 32) % 1000)::INTEGER, 10 * (job % 20)) AS apps_id,
    make_timestamp((queued_ms - 86400000) * 1000)::DATE AS period,
    printf('INC%07d', i) AS ticket,
    ['F0004', 'F0005', 'F0010', 'extract', 'load', 'clean', 'index', 'report', 'notify'] AS names,
    ['ORA-00942: table or view does not exist', 'could not connect to server: Connection refused',
     'the server closed the connection unexpectedly', printf('duplicate key value (%d) already exists', i)
    ][1 + (h >> 36) % 4] AS message
FROM numbered
"""

_RUN = """
INSERT INTO run BY NAME
SELECT
    id,
    printf('%s-%03d', ['nomasx1', 'jde', 'ldap', 'flights'][1 + job % 4], job) AS job_id,
    state,
    CASE state WHEN 'FAILED' THEN 'step ' || names[1 + stopped_at] || ' failed' WHEN 'CANCELED' THEN 'wrong day' END
        AS reason,
    queued_at,
    started_at,
    finished_at,
    if(by_hand, person, 'nightly') AS account,
    if(by_hand, surface, 'cron') AS via,
    if(by_hand, NULL, 'nightly') AS schedule,
    if(by_hand, NULL, date_trunc('second', queued_at)) AS scheduled_at,
    'INFO' AS log_level,
    lower(hex(hash(job))) AS etag,
    if(state = 'SUCCEEDED', steps, stopped_at + 1) AS step_index,
    steps AS step_count,
    CASE state
        WHEN 'SUCCEEDED' THEN printf('%d / %d ✓', steps, steps)
        WHEN 'FAILED' THEN printf('%d / %d — failed at %s', stopped_at, steps, names[1 + stopped_at])
        ELSE printf('%d / %d', stopped_at, steps)
    END AS step_summary,
    (h >> 20) % 100000 AS rows_affected,
    -- What JSON of a plan looks like; all steps of a run have the same values.
    printf('{"log_level":"INFO","steps":[%s]}', list_reduce(list_transform(names[1:steps], lambda name: printf(
        '{"name":"%s","type":"python","runs":true,"reason":null,"kwargs":{'
        '"apps_id":{"value":%d,"origin":"saved"},"full_refresh":{"value":false,"origin":"saved"},'
        '"period":{"value":"%s","origin":"saved"},"target_connector":{"value":"nomasx1","origin":"saved"}%s}}',
        name, apps_id, period, if(by_hand, printf(',"ticket":{"value":"%s","origin":"override"}', ticket), ''))),
        lambda one, other: one || ',' || other)) AS plan,
    1 AS epoch,
    printf('\x1fapps_id=%d\x1ffull_refresh=false\x1fperiod=%s\x1ftarget_connector=nomasx1\x1f%s', apps_id, period,
        if(by_hand, printf('ticket=%s\x1f', lower(ticket)), '')) AS params,
    printf('\x1f%s\x1f%s', lower(array_to_string(list_transform(
        names[1:if(state = 'SUCCEEDED', steps, stopped_at + 1)], lambda name: name || '=began'), '\x1f')),
        if(state = 'FAILED', lower(names[1 + stopped_at]) || '=failed\x1f', '')) AS step_ends,
    if(state = 'FAILED', lower(printf('\x1fOperationalError: %s\x1f', message)), NULL) AS problem
FROM made
"""

_STEPS = """
INSERT INTO step_run BY NAME
SELECT
    id AS run_id,
    position::INTEGER AS position,
    names[1 + position] AS name,
    'python' AS type,
    CASE
        WHEN state = 'SUCCEEDED' OR position < stopped_at THEN 'SUCCEEDED'
        WHEN position = stopped_at THEN state
        ELSE 'CANCELED'
    END AS state,
    CASE
        WHEN state = 'SUCCEEDED' OR position <= stopped_at THEN NULL
        WHEN state = 'FAILED' THEN 'an earlier step failed'
        ELSE 'canceled by user:' || person
    END AS reason,
    if(state = 'SUCCEEDED' OR position <= stopped_at, 1, 0) AS attempt,
    if(state = 'SUCCEEDED' OR position <= stopped_at, began_at + to_microseconds(position * length), NULL)
        AS started_at,
    if(state = 'SUCCEEDED' OR position <= stopped_at, began_at + to_microseconds((position + 1) * length), NULL)
        AS finished_at,
    if(state = 'SUCCEEDED' OR position < stopped_at, hash(h, position) % 100000, NULL) AS rows_affected,
    if(state = 'FAILED' AND position = stopped_at,
        printf('{"type":"OperationalError","message":"%s","traceback":"Traceback (most recent call last):\\n"}',
            message), NULL) AS error
FROM (
    SELECT
        * EXCLUDE (started_at, finished_at),
        started_at AS began_at,
        (epoch_us(finished_at) - epoch_us(started_at)) // if(state = 'SUCCEEDED', steps, stopped_at + 1) AS length,
        unnest(range(steps)) AS position
    FROM made
)
"""

_EVENTS = """
INSERT INTO event BY NAME
SELECT
    first_event + place AS seq,
    1 AS epoch,
    CASE WHEN place = 0 THEN queued_at WHEN place < 1 + steps THEN started_at ELSE finished_at END AS happened_at,
    if(place IN (0, 1, 2 + 2 * steps), 'run', 'step') AS kind,
    printf('%s-%03d', ['nomasx1', 'jde', 'ldap', 'flights'][1 + job % 4], job) AS job_id,
    id AS run_id,
    if(place IN (0, 1, 2 + 2 * steps), NULL, names[place // 2]) AS step,
    CASE
        WHEN place = 0 THEN 'QUEUED'
        WHEN place = 2 + 2 * steps THEN state
        WHEN place = 1 OR place % 2 = 0 THEN 'RUNNING'
        ELSE 'SUCCEEDED'
    END AS state,
    if(place > 0, NULL, if(by_hand, surface || ':' || person, 'cron:nightly')) AS who
FROM (SELECT *, unnest(range(3 + 2 * steps)) AS place FROM made)
"""

_LINES = """
INSERT INTO log_line BY NAME
SELECT
    id AS run_id,
    seq::INTEGER AS seq,
    started_at + to_milliseconds(seq) AS ts,
    if(state = 'FAILED' AND seq = $lines, 'ERROR', 'INFO') AS level,
    names[1 + seq % steps] AS step,
    1 AS attempt,
    'log' AS stream,
    CASE
        WHEN state = 'FAILED' AND seq = $lines THEN 'OperationalError: ' || message
        WHEN seq % 3 = 0 THEN printf('read %d rows from F%04d', (h >> seq) % 100000, (h >> 3) % 10000)
        WHEN seq % 3 = 1 THEN printf('batch %d of %d written to nomasx1', seq, $lines)
        ELSE 'checked ' || ticket
    END AS text
FROM (SELECT *, unnest(range(1, $lines + 1)) AS seq FROM made)
"""


def build(path: Path, *, runs: int, lines: int = 0, events: bool = True) -> None:
    """Make a store of so many ended runs, the newest of `END`, over `DAYS` days.

    Args:
        path: where; nothing is there yet.
        runs: how many, with five times as many steps.
        lines: log lines of each run.
        events: with the thirteen events of each run too.
    """
    Store(path).close()
    with duckdb.connect(str(path), config={"memory_limit": "2GB"}) as db:
        start = naive(END - timedelta(days=DAYS))
        made = {"jobs": JOBS, "runs": runs, "start": start, "span_ms": DAYS * 86_400_000}
        db.execute(_RUNS, made).fetchall()
        db.execute(_RUN).fetchall()
        db.execute(_STEPS).fetchall()
        if events:
            db.execute(_EVENTS).fetchall()
        if lines:
            db.execute(_LINES, {"lines": lines}).fetchall()
        db.execute("CHECKPOINT").fetchall()


if __name__ == "__main__":
    began = time.monotonic()
    target = Path(sys.argv[1])
    build(target, runs=int(sys.argv[2]), lines=int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    print(f"{target.stat().st_size / 1e6:.0f} MB in {time.monotonic() - began:.1f} s")
