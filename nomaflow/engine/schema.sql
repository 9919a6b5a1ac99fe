-- The run store. No foreign keys and no indexes but that of `slot`: the one writer keeps the tables consistent, ids grow
-- with time, so zone maps prune as an index would, which costs some 40 bytes a row. Instants are UTC TIMESTAMPs.

-- schema_version, epoch (one more at every start), restored_at (a backup was put in place and no engine has run since).
CREATE TABLE meta (name VARCHAR NOT NULL, value VARCHAR NOT NULL);

-- One row a run; `id` is the number of which `run_…` is the base 32 form. `plan` is the snapshot of its parameters. The
-- last three columns are what searches look through, in small letters, between unit separators (U+001F): `params` has
-- `name=value`; from the run's end on `step_ends` has `name=began`, `name=failed`, `name=skipped`, whatever is true of a
-- step, and `problem` the first lines of the steps' errors.
CREATE TABLE run (
    id BIGINT NOT NULL,
    job_id VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    reason VARCHAR,
    queued_at TIMESTAMP NOT NULL,
    started_at TIMESTAMP,
    finished_at TIMESTAMP,
    account VARCHAR NOT NULL,
    via VARCHAR NOT NULL,
    schedule VARCHAR,
    scheduled_at TIMESTAMP,
    replay_of BIGINT,
    parent_run BIGINT,
    log_level VARCHAR NOT NULL,
    etag VARCHAR NOT NULL,
    step_index INTEGER NOT NULL,
    step_count INTEGER NOT NULL,
    step_summary VARCHAR,
    rows_affected BIGINT,
    plan VARCHAR NOT NULL USING COMPRESSION zstd,
    receipt VARCHAR,
    epoch INTEGER NOT NULL,
    params VARCHAR,
    step_ends VARCHAR,
    problem VARCHAR
);

-- One row a step, written once, when the step has ended. Until then its transitions are in `event`. `attempts` is null
-- where the other columns tell as much: no try, or one that began and ended with the step. Of the largest table the
-- instants are milliseconds, as they are told.
CREATE TABLE step_run (
    run_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    type VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    reason VARCHAR,
    attempt INTEGER NOT NULL,
    attempts VARCHAR,
    started_at TIMESTAMP_MS,
    finished_at TIMESTAMP_MS,
    rows_affected BIGINT,
    output VARCHAR,
    error VARCHAR
);

-- A step that waits for its next try: what a later engine needs to go on with it. The newest row of a run counts, and
-- only while its step has not ended.
CREATE TABLE retry_wait (
    run_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    attempts VARCHAR NOT NULL,
    due_at TIMESTAMP NOT NULL
);

-- One row a schedule that is watched. `cursor` is the instant up to which every fire has its slot; `rule` is what it was
-- made from: another rule, or one that is switched on again, starts anew.
CREATE TABLE schedule (
    number INTEGER NOT NULL,
    job_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    cursor TIMESTAMP NOT NULL
);

-- One row a nominal fire, written in the transaction that decides about it. `id` is made of the schedule's number and the
-- second, so that no fire can have two. A row with a `count` stands for that many, from `scheduled_at` to `last_at`.
CREATE TABLE slot (
    id BIGINT PRIMARY KEY,
    job_id VARCHAR NOT NULL,
    schedule VARCHAR NOT NULL,
    scheduled_at TIMESTAMP NOT NULL,
    state VARCHAR NOT NULL,
    reason VARCHAR,
    run_id BIGINT,
    into_at TIMESTAMP,
    count BIGINT NOT NULL,
    last_at TIMESTAMP,
    decided_at TIMESTAMP NOT NULL,
    epoch INTEGER NOT NULL
);

-- Fires that a person asked to leave out; a row goes when its slot is decided.
CREATE TABLE skip (
    job_id VARCHAR NOT NULL,
    schedule VARCHAR NOT NULL,
    scheduled_at TIMESTAMP NOT NULL,
    who VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Why a job is switched off, by whom and until when; the switch itself is in its file.
CREATE TABLE pause (
    job_id VARCHAR NOT NULL,
    reason VARCHAR,
    who VARCHAR NOT NULL,
    until_at TIMESTAMP,
    paused_at TIMESTAMP NOT NULL
);

-- The text of a job as it was when a run of it was accepted: what a later engine goes on with.
CREATE TABLE definition (
    job_id VARCHAR NOT NULL,
    etag VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    seen_at TIMESTAMP NOT NULL
);

-- Every transition, in order: who and why.
CREATE TABLE event (
    seq BIGINT NOT NULL,
    epoch INTEGER NOT NULL,
    happened_at TIMESTAMP NOT NULL,
    kind VARCHAR NOT NULL,
    job_id VARCHAR,
    run_id BIGINT,
    step VARCHAR,
    state VARCHAR,
    who VARCHAR,
    reason VARCHAR
);

CREATE TABLE log_line (
    run_id BIGINT NOT NULL,
    seq INTEGER NOT NULL,
    ts TIMESTAMP NOT NULL,
    level VARCHAR NOT NULL,
    step VARCHAR,
    attempt INTEGER NOT NULL,
    stream VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

-- The first answer to an idempotency key, in the run's own transaction.
CREATE TABLE idempotency (
    account VARCHAR NOT NULL,
    route VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    body_hash VARCHAR NOT NULL,
    run_id BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Sign-ins; of a token only its hash. A revoked session is deleted.
CREATE TABLE session (
    token_hash VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    surface VARCHAR NOT NULL,
    credential VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);
