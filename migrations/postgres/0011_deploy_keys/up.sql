-- The credentials for a project's repository: a key for SSH, or a user name and password for HTTP.
CREATE TABLE deploy_keys (
    project_id BIGINT PRIMARY KEY NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    -- The only server that it is for.
    server TEXT NOT NULL,
    -- For a key: its public half, and the accepted host keys.
    public_key TEXT,
    known_hosts TEXT,
    -- For a user name and password: the user name.
    username TEXT,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Which submodules are checked out with its commits.
ALTER TABLE projects ADD COLUMN submodules TEXT NOT NULL DEFAULT 'recursive';
