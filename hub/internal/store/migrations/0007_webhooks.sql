-- Who wants to be told of events, and what is on its way. Secrets are sealed, see
-- package secrets.
CREATE TABLE webhooks (
    id              {{id}},
    uid             TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    url             TEXT NOT NULL,
    secret          TEXT NOT NULL,
    events          TEXT,
    printers        TEXT,
    sites           TEXT,
    created_by      TEXT NOT NULL,
    enabled         BOOLEAN NOT NULL,
    disabled_reason TEXT NOT NULL,
    failing_since   BIGINT NOT NULL,
    failures        BIGINT NOT NULL,
    since_event     BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    owner_id        BIGINT REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX webhooks_owner ON webhooks (owner_id);

CREATE TABLE deliveries (
    id         {{id}},
    uid        TEXT NOT NULL UNIQUE,
    webhook_id BIGINT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id   BIGINT NOT NULL,
    event      TEXT NOT NULL,
    printer_id BIGINT NOT NULL,
    site_id    BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    body       TEXT NOT NULL,
    line       BIGINT NOT NULL,
    state      TEXT NOT NULL,
    tries      BIGINT NOT NULL,
    since      BIGINT NOT NULL,
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
