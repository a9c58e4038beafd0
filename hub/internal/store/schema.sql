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
    last_used_at BIGINT NOT NULL
);

-- What people and programs did that somebody may have to answer for. It is kept
-- longer than events and is never changed.
CREATE TABLE audit (
    id         BIGINT PRIMARY KEY,
    at         BIGINT NOT NULL,
    who        TEXT NOT NULL,
    action     TEXT NOT NULL,
    printer_id BIGINT NOT NULL,
    site_id    BIGINT NOT NULL,
    data       TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
