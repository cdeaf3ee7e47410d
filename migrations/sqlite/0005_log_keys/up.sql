-- The keys that log tokens are signed with, sealed. The newest that is not retired signs; a retired
-- one is believed for as long as what it signed may still be good.
CREATE TABLE log_keys (
    kid TEXT PRIMARY KEY NOT NULL,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);
