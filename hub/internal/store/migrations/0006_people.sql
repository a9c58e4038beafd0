-- People, their sessions, and to whom API keys and S3 credentials belong. Passwords are kept as
-- argon2id hashes, tokens of sessions as SHA-256.
CREATE TABLE users (
    id         {{id}},
    username   TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    password   TEXT NOT NULL,
    role       TEXT NOT NULL,
    sites      TEXT,
    disabled   BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);

CREATE TABLE sessions (
    id         {{id}},
    user_id    BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    address    TEXT NOT NULL,
    agent      TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

ALTER TABLE api_keys ADD COLUMN owner_id BIGINT REFERENCES users (id) ON DELETE CASCADE;
CREATE INDEX api_keys_owner ON api_keys (owner_id);

ALTER TABLE s3_credentials ADD COLUMN owner_id BIGINT REFERENCES users (id) ON DELETE CASCADE;
CREATE INDEX s3_credentials_owner ON s3_credentials (owner_id);
