-- What opens a project's repository: a key for ssh, or a name and a password for http.
CREATE TABLE deploy_keys (
    project_id BIGINT PRIMARY KEY NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    -- The server that it is for, and no other.
    server TEXT NOT NULL,
    -- Of a key: its public half, and the host keys that are right.
    public_key TEXT,
    known_hosts TEXT,
    -- Of a name and a password: the name.
    username TEXT,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Which submodules are checked out with its commits.
ALTER TABLE projects ADD COLUMN submodules TEXT NOT NULL DEFAULT 'recursive';
