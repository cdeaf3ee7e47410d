-- The keys that log tokens are signed with, sealed. The newest key that is not retired signs. A
-- retired key still verifies tokens until the last one it signed has expired.
CREATE TABLE log_keys (
    kid TEXT PRIMARY KEY NOT NULL,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);
