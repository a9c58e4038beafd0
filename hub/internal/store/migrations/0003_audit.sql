-- What people and programs did that somebody may have to answer for. It is kept
-- longer than events and is never changed.
CREATE TABLE audit (
    id         {{id}},
    at         BIGINT NOT NULL,
    who        TEXT NOT NULL,
    action     TEXT NOT NULL,
    printer_id BIGINT NOT NULL,
    site_id    BIGINT NOT NULL,
    data       TEXT NOT NULL
);
CREATE INDEX audit_at ON audit (at);
