-- Builds that are requested by repository and commit, webhooks, commit statuses.

-- At most one sole build of a commit is unfinished.
ALTER TABLE builds ADD COLUMN sole BOOLEAN NOT NULL DEFAULT FALSE;
CREATE UNIQUE INDEX builds_sole ON builds (project_id, sha) WHERE sole AND finished_at IS NULL;

-- The secrets that webhook deliveries of projects are signed with, sealed.
CREATE TABLE hook_secrets (
    project_id BIGINT PRIMARY KEY NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Webhook deliveries and the builds they created, so that a repeated delivery gets the same answer.
CREATE TABLE hook_deliveries (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    delivery TEXT NOT NULL,
    build_uuid TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, delivery)
);
CREATE INDEX hook_deliveries_age ON hook_deliveries (created_at);

-- Builds whose status is reported to the forge. The status follows from the build; this table says
-- what was reported and when the next attempt is due.
CREATE TABLE commit_statuses (
    build_id BIGINT PRIMARY KEY NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    told TEXT,
    tries INTEGER NOT NULL,
    next_try_at BIGINT NOT NULL,
    settled BOOLEAN NOT NULL
);
CREATE INDEX commit_statuses_open ON commit_statuses (next_try_at) WHERE NOT settled;
