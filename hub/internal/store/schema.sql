-- The schema that the migrations lead to, to be read in one place. Nothing runs
-- this file: a test compares it with the migrated database, table by table and
-- column by column, on both engines. An id is a BIGINT here.

-- What the hub is and remembers of itself, one value a row.
CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Numbers that only grow: the last event id, the last fence.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

-- How far each follower of the events table has come.
CREATE TABLE cursors (
    name     TEXT PRIMARY KEY,
    event_id BIGINT NOT NULL
);

CREATE TABLE sites (
    id         BIGINT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE agents (
    id         BIGINT PRIMARY KEY,
    uid        TEXT NOT NULL UNIQUE,
    site_id    BIGINT NOT NULL REFERENCES sites (id),
    name       TEXT NOT NULL,
    public_key TEXT NOT NULL,
    version    TEXT NOT NULL,
    platform   TEXT NOT NULL,
    revision   BIGINT NOT NULL,
    revoked    BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    online     BOOLEAN NOT NULL DEFAULT FALSE -- what its last event told
);
CREATE INDEX agents_site ON agents (site_id);

CREATE TABLE enrolments (
    id          BIGINT PRIMARY KEY,
    site_id     BIGINT NOT NULL REFERENCES sites (id) ON DELETE CASCADE,
    secret_hash TEXT NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    agent_id    BIGINT REFERENCES agents (id) ON DELETE CASCADE
);

CREATE TABLE printers (
    id          BIGINT PRIMARY KEY,
    serial      TEXT NOT NULL UNIQUE,
    name        TEXT NOT NULL,
    model_given TEXT NOT NULL,
    model_seen  TEXT NOT NULL,
    address     TEXT NOT NULL,
    mqtt_port   BIGINT NOT NULL,
    ftps_port   BIGINT NOT NULL,
    camera_port BIGINT NOT NULL,
    site_id     BIGINT NOT NULL REFERENCES sites (id),
    agent_id    BIGINT REFERENCES agents (id),
    fence       BIGINT NOT NULL,
    location    TEXT NOT NULL,
    tags        TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE INDEX printers_agent ON printers (agent_id);
CREATE INDEX printers_site ON printers (site_id);

-- Sealed values only, see package secrets.
CREATE TABLE printer_secrets (
    printer_id  BIGINT PRIMARY KEY REFERENCES printers (id) ON DELETE CASCADE,
    access_code TEXT NOT NULL
);

-- Printers an agent must give up; kept until it has said that it did.
CREATE TABLE tombstones (
    agent_id BIGINT NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
    serial   TEXT NOT NULL,
    fence    BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (agent_id, serial)
);

-- The last live picture, so that a restarted hub still shows it.
CREATE TABLE printer_states (
    printer_id BIGINT PRIMARY KEY REFERENCES printers (id) ON DELETE CASCADE,
    connected  BOOLEAN NOT NULL,
    seen_at    BIGINT NOT NULL,
    status     TEXT NOT NULL
);

-- Append-only. Ids come from the counter, so that they become visible in order.
CREATE TABLE events (
    id         BIGINT PRIMARY KEY,
    at         BIGINT NOT NULL,
    kind       TEXT NOT NULL,
    printer_id BIGINT NOT NULL,
    agent_id   BIGINT NOT NULL,
    site_id    BIGINT NOT NULL,
    data       TEXT NOT NULL
);
CREATE INDEX events_at ON events (at);

-- People who may sign in. A password is an argon2id hash.
CREATE TABLE users (
    id         BIGINT PRIMARY KEY,
    username   TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    password   TEXT NOT NULL,
    role       TEXT NOT NULL,
    sites      TEXT, -- NULL: all, [] none
    disabled   BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);

-- Who is signed in. A token is kept as its SHA-256.
CREATE TABLE sessions (
    id         BIGINT PRIMARY KEY,
    user_id    BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    address    TEXT NOT NULL,
    agent      TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_keys (
    id           BIGINT PRIMARY KEY,
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    permissions  TEXT NOT NULL,
    printers     TEXT,
    sites        TEXT,
    limits       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    owner_id     BIGINT REFERENCES users (id) ON DELETE CASCADE -- NULL: the hub itself
);
CREATE INDEX api_keys_owner ON api_keys (owner_id);

-- What people and programs did that somebody may have to answer for. It is kept
-- longer than events and is never changed: triggers see to that, in both engines.
CREATE TABLE audit (
    id         BIGINT PRIMARY KEY,
    at         BIGINT NOT NULL,
    who        TEXT NOT NULL,
    action     TEXT NOT NULL,
    printer_id BIGINT NOT NULL,
    site_id    BIGINT NOT NULL,
    data       TEXT NOT NULL,
    kind       TEXT NOT NULL DEFAULT '',
    remote     TEXT NOT NULL DEFAULT '',
    request_id TEXT NOT NULL DEFAULT '',
    method     TEXT NOT NULL DEFAULT '',
    path       TEXT NOT NULL DEFAULT '',
    status     BIGINT NOT NULL DEFAULT 0,
    code       TEXT NOT NULL DEFAULT '',
    hash       TEXT NOT NULL DEFAULT '' -- covers the entry and the hash of the one before
);
CREATE INDEX audit_at ON audit (at);
CREATE INDEX audit_who ON audit (who, id);
CREATE INDEX audit_action ON audit (action, id);
CREATE INDEX audit_printer ON audit (printer_id, id) WHERE printer_id > 0;
CREATE INDEX audit_site ON audit (site_id, id) WHERE site_id > 0;

CREATE TABLE projects (
    id           BIGINT PRIMARY KEY,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL,
    color        TEXT NOT NULL,
    target_count BIGINT NOT NULL,
    status       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);

CREATE TABLE prints (
    id             BIGINT PRIMARY KEY,
    kind           TEXT NOT NULL,
    status         TEXT NOT NULL,
    paused         BOOLEAN NOT NULL,
    run_id         TEXT NOT NULL,
    subtask        TEXT NOT NULL,
    source         TEXT NOT NULL,
    source_id      BIGINT NOT NULL,
    queue_id       BIGINT NOT NULL,
    printer_id     BIGINT NOT NULL,
    printer_name   TEXT NOT NULL,
    serial         TEXT NOT NULL,
    site_id        BIGINT NOT NULL REFERENCES sites (id),
    agent_id       BIGINT NOT NULL,
    name           TEXT NOT NULL,
    renamed        BOOLEAN NOT NULL,
    filename       TEXT NOT NULL,
    plate          BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    started_at     BIGINT NOT NULL,
    finished_at    BIGINT NOT NULL,
    duration       BIGINT,
    time_estimated BOOLEAN NOT NULL,
    progress       BIGINT NOT NULL,
    milestone      BIGINT NOT NULL,
    layer          BIGINT NOT NULL,
    total_layers   BIGINT NOT NULL,
    failure_reason TEXT NOT NULL,
    filament_used  DOUBLE PRECISION,
    filament_type  TEXT NOT NULL,
    filaments      TEXT NOT NULL,
    layer_height   DOUBLE PRECISION,
    nozzle         DOUBLE PRECISION,
    bed_type       TEXT NOT NULL,
    estimate       BIGINT,
    estimate_grams DOUBLE PRECISION,
    cost           DOUBLE PRECISION,
    sha256         TEXT NOT NULL,
    file_size      BIGINT NOT NULL,
    file_status    TEXT NOT NULL,
    file_error     TEXT NOT NULL,
    has            TEXT NOT NULL,
    notes          TEXT NOT NULL,
    tags           TEXT NOT NULL,
    project_id     BIGINT NOT NULL,
    favorite       BOOLEAN NOT NULL,
    dir            TEXT NOT NULL,
    deleted_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX prints_open ON prints (printer_id) WHERE status = 'printing' AND printer_id > 0 AND deleted_at = 0;

-- One index for each filter that lists are asked for by, in the order of lists. All
-- hold every other filter too, so that a row is only read once it is known to be wanted.
CREATE INDEX prints_created ON prints (created_at, id, printer_id, site_id, project_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0;
CREATE INDEX prints_printer ON prints (printer_id, created_at, id, site_id, project_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0;
CREATE INDEX prints_site ON prints (site_id, created_at, id, printer_id, project_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0;
CREATE INDEX prints_project ON prints (project_id, created_at, id, printer_id, site_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0 AND project_id > 0;
CREATE INDEX prints_status ON prints (status, created_at, id, printer_id, site_id, project_id, kind, source, file_status, favorite) WHERE deleted_at = 0;
CREATE INDEX prints_file ON prints (file_status, created_at, id, printer_id, site_id, project_id, kind, status, source, favorite) WHERE deleted_at = 0 AND file_status <> 'stored';
CREATE INDEX prints_favorite ON prints (created_at, id, printer_id, site_id, project_id, kind, status, source, file_status) WHERE deleted_at = 0 AND favorite;
CREATE INDEX prints_sha256 ON prints (sha256, created_at, id, printer_id, site_id, project_id, kind, status, source, file_status, favorite) WHERE deleted_at = 0 AND sha256 <> '';
CREATE INDEX prints_subtask ON prints (printer_id, subtask, id) WHERE subtask <> '';

-- How many archives there are of each sort, by the 30 days they were made in: to count
-- rows takes too long.
CREATE TABLE print_counts (
    printer_id  BIGINT NOT NULL,
    site_id     BIGINT NOT NULL,
    project_id  BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    status      TEXT NOT NULL,
    source      TEXT NOT NULL,
    file_status TEXT NOT NULL,
    favorite    BOOLEAN NOT NULL,
    days        BIGINT NOT NULL,
    n           BIGINT NOT NULL,
    PRIMARY KEY (printer_id, site_id, project_id, kind, status, source, file_status, favorite, days)
);

CREATE TABLE print_tags (
    tag        TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    print_id   BIGINT NOT NULL REFERENCES prints (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, created_at, print_id)
);
CREATE INDEX print_tags_print ON print_tags (print_id);

-- Which print an agent's run is. A print can have been told of by several. These rows
-- outlive it: what an agent tells again must not bring back what somebody deleted.
CREATE TABLE print_runs (
    run_id   TEXT PRIMARY KEY,
    print_id BIGINT NOT NULL,
    seq      BIGINT NOT NULL
);
CREATE INDEX print_runs_print ON print_runs (print_id);

-- How far each agent's outbox has been applied.
CREATE TABLE outbox_marks (
    agent_id BIGINT NOT NULL,
    epoch    TEXT NOT NULL,
    n        BIGINT NOT NULL,
    at       BIGINT NOT NULL, -- when that was
    PRIMARY KEY (agent_id, epoch)
);

CREATE TABLE print_files (
    id         BIGINT PRIMARY KEY,
    print_id   BIGINT NOT NULL REFERENCES prints (id) ON DELETE CASCADE,
    site_id    BIGINT NOT NULL,
    role       TEXT NOT NULL,
    path       TEXT NOT NULL,
    key        TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       BIGINT NOT NULL,
    media_type TEXT NOT NULL,
    status     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    stored_at  BIGINT NOT NULL,
    UNIQUE (print_id, role),
    UNIQUE (site_id, path)
);
CREATE INDEX print_files_object ON print_files (key) WHERE key <> '';
CREATE INDEX print_files_bytes ON print_files (size) WHERE status = 'stored' AND role <> 'model';

-- One row a content that is stored: the same 3MF is one object, however often it is printed.
CREATE TABLE objects (
    sha256    TEXT PRIMARY KEY,
    key       TEXT NOT NULL,
    size      BIGINT NOT NULL,
    stored_at BIGINT NOT NULL
);

-- Keys that may hold an object no row refers to. Only these are ever deleted. Of one
-- that is claimed to be, due_at is the moment of the claim, negative.
CREATE TABLE object_intents (
    key    TEXT PRIMARY KEY,
    due_at BIGINT NOT NULL
);
CREATE INDEX object_intents_due ON object_intents (due_at);

-- Files that agents hold and the hub wants.
CREATE TABLE pulls (
    id       BIGINT PRIMARY KEY,
    print_id BIGINT NOT NULL,
    run_id   TEXT NOT NULL,
    agent_id BIGINT NOT NULL,
    role     TEXT NOT NULL,
    sha256   TEXT NOT NULL,
    size     BIGINT NOT NULL,
    name     TEXT NOT NULL,
    tries    BIGINT NOT NULL,
    next_at  BIGINT NOT NULL,
    error    TEXT NOT NULL,
    UNIQUE (run_id, role, sha256)
);
CREATE INDEX pulls_next ON pulls (next_at);
CREATE INDEX pulls_print ON pulls (print_id);

-- Beside these there is print_search, which finds archives by words: an FTS5 table in
-- SQLite, a table of tsvectors in PostgreSQL.

-- Who may read the archive with an S3 tool. Secrets are sealed, see package secrets.
CREATE TABLE s3_credentials (
    id           BIGINT PRIMARY KEY,
    access_key   TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    secret       TEXT NOT NULL,
    sites        TEXT, -- NULL: all, [] none
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    owner_id     BIGINT REFERENCES users (id) ON DELETE CASCADE -- NULL: the hub itself
);
CREATE INDEX s3_credentials_owner ON s3_credentials (owner_id);

-- Who wants to be told of events. Secrets are sealed, see package secrets.
CREATE TABLE webhooks (
    id              BIGINT PRIMARY KEY,
    uid             TEXT NOT NULL UNIQUE, -- the seal's
    name            TEXT NOT NULL,
    url             TEXT NOT NULL,
    secret          TEXT NOT NULL,
    events          TEXT, -- NULL: all, [] none
    printers        TEXT, -- NULL: all, [] none
    sites           TEXT, -- NULL: all, [] none
    created_by      TEXT NOT NULL,
    enabled         BOOLEAN NOT NULL,
    disabled_reason TEXT NOT NULL,
    failing_since   BIGINT NOT NULL, -- the first failure since the last success, 0: none
    failures        BIGINT NOT NULL, -- how many since then
    since_event     BIGINT NOT NULL, -- events after this one are its
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    owner_id        BIGINT REFERENCES users (id) ON DELETE CASCADE -- NULL: the hub itself
);
CREATE INDEX webhooks_owner ON webhooks (owner_id);

-- Events on their way to webhooks, and what became of them. Those of one webhook and
-- one line are sent one after the other: a line is a printer, or 0 for what is of none;
-- what a person sends again has a line of its own, -id. A claim belongs to the hub
-- that is sending right now, until claimed_to.
CREATE TABLE deliveries (
    id         BIGINT PRIMARY KEY,
    uid        TEXT NOT NULL UNIQUE, -- X-Bambuddy-Delivery
    webhook_id BIGINT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id   BIGINT NOT NULL,
    event      TEXT NOT NULL,
    printer_id BIGINT NOT NULL,
    site_id    BIGINT NOT NULL,
    at         BIGINT NOT NULL, -- when it happened
    body       TEXT NOT NULL,
    line       BIGINT NOT NULL,
    state      TEXT NOT NULL,
    tries      BIGINT NOT NULL,
    since      BIGINT NOT NULL, -- what the time to give up is counted from
    next_at    BIGINT NOT NULL,
    claim      TEXT NOT NULL,
    claimed_to BIGINT NOT NULL,
    tried_at   BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    status     BIGINT NOT NULL,
    request    TEXT NOT NULL,
    response   TEXT NOT NULL,
    error      TEXT NOT NULL,
    took_ms    BIGINT NOT NULL,
    UNIQUE (event_id, webhook_id)
);
CREATE INDEX deliveries_line ON deliveries (webhook_id, line, id) WHERE state = 'pending';
CREATE INDEX deliveries_log ON deliveries (webhook_id, id);
CREATE INDEX deliveries_state ON deliveries (webhook_id, state, id);
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE state <> 'pending';
