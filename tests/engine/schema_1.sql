-- The run store. No foreign keys and no secondary indexes: the one writer keeps the tables consistent, ids grow with
-- time, so zone maps prune as an index would, and both would cost at every commit. Instants are UTC TIMESTAMPs.

-- schema_version, epoch (one more at every start).
CREATE TABLE meta (name VARCHAR NOT NULL, value VARCHAR NOT NULL);

-- One row a run; `id` is the number of which `run_…` is the base 32 form. `plan` is the snapshot of its parameters.
CREATE TABLE run (
    id BIGINT PRIMARY KEY,
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
    plan VARCHAR NOT NULL,
    receipt VARCHAR,
    epoch INTEGER NOT NULL
);

-- One row a step, written once, when the step has ended. Until then its transitions are in `event`.
CREATE TABLE step_run (
    run_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    type VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    reason VARCHAR,
    attempt INTEGER NOT NULL,
    attempts VARCHAR NOT NULL,
    started_at TIMESTAMP,
    finished_at TIMESTAMP,
    rows_affected BIGINT,
    output VARCHAR,
    error VARCHAR
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
