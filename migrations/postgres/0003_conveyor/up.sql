-- Builds that are asked for by repository and commit, push hooks, statuses of commits.

-- Of the sole builds of a commit at most one is not over.
ALTER TABLE builds ADD COLUMN sole BOOLEAN NOT NULL DEFAULT FALSE;
CREATE UNIQUE INDEX builds_sole ON builds (project_id, sha) WHERE sole AND finished_at IS NULL;

-- What the push hooks of a project are signed with, sealed.
CREATE TABLE hook_secrets (
    project_id BIGINT PRIMARY KEY NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Deliveries of push hooks, so that one that comes twice is answered alike.
CREATE TABLE hook_deliveries (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    delivery TEXT NOT NULL,
    build_uuid TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, delivery)
);
CREATE INDEX hook_deliveries_age ON hook_deliveries (created_at);

-- Builds of which the forge is told. What there is to tell follows from the build; here is what
-- was told, and when the next try is due.
CREATE TABLE commit_statuses (
    build_id BIGINT PRIMARY KEY NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    told TEXT,
    tries INTEGER NOT NULL,
    next_try_at BIGINT NOT NULL,
    settled BOOLEAN NOT NULL
);
CREATE INDEX commit_statuses_open ON commit_statuses (next_try_at) WHERE NOT settled;
