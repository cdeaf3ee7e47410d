-- Logins on their way from a browser to a command line. The secret works once; only its hash is
-- stored.
CREATE TABLE cli_logins (
    hash TEXT PRIMARY KEY NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
