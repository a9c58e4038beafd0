-- Who may read the archive with an S3 tool. Secrets are sealed, see package secrets.
CREATE TABLE s3_credentials (
    id           {{id}},
    access_key   TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    secret       TEXT NOT NULL,
    sites        TEXT,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
