-- Logins on their way from a browser to a command line: whoever has the secret takes the login,
-- once. Only the secret's hash is kept.
CREATE TABLE cli_logins (
    hash TEXT PRIMARY KEY NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
