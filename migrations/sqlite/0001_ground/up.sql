-- Times are milliseconds since the Unix epoch, UTC. Secrets are stored as SHA-256 or sealed.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    admin BOOLEAN NOT NULL,
    active BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (lower(name));

CREATE TABLE access_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    user_id BIGINT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX access_tokens_user ON access_tokens (user_id, id);

CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX namespaces_name ON namespaces (lower(name));

CREATE TABLE namespace_members (
    namespace_id BIGINT NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    PRIMARY KEY (namespace_id, user_id)
);
CREATE INDEX namespace_members_user ON namespace_members (user_id);

CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    namespace_id BIGINT NOT NULL REFERENCES namespaces (id),
    name TEXT NOT NULL,
    repo_url TEXT NOT NULL,
    default_branch TEXT NOT NULL,
    image_repository TEXT,
    shared_runners BOOLEAN NOT NULL,
    max_running INTEGER,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX projects_name ON projects (namespace_id, lower(name));

CREATE TABLE project_members (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX project_members_user ON project_members (user_id);

-- How many jobs of a project are running. Updated only together with the state of a job.
CREATE TABLE project_loads (
    project_id BIGINT PRIMARY KEY NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    running INTEGER NOT NULL
);

CREATE TABLE variables (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    sealed TEXT NOT NULL,
    public BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (project_id, key)
);

CREATE TABLE registry_credentials (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    namespace_id BIGINT NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    registry TEXT NOT NULL,
    username TEXT NOT NULL,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (namespace_id, registry)
);

CREATE TABLE runners (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    token_hash TEXT UNIQUE,
    description TEXT NOT NULL,
    tags TEXT NOT NULL,
    run_untagged BOOLEAN NOT NULL,
    locked BOOLEAN NOT NULL,
    shared BOOLEAN NOT NULL,
    paused BOOLEAN NOT NULL,
    heartbeat BOOLEAN NOT NULL,
    name TEXT,
    version TEXT,
    revision TEXT,
    platform TEXT,
    architecture TEXT,
    executor TEXT,
    created_at BIGINT NOT NULL,
    contact_at BIGINT,
    removed_at BIGINT,
    rev BIGINT NOT NULL
);

CREATE TABLE runner_projects (
    runner_id BIGINT NOT NULL REFERENCES runners (id) ON DELETE CASCADE,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    PRIMARY KEY (runner_id, project_id)
);
CREATE INDEX runner_projects_project ON runner_projects (project_id);

CREATE TABLE registration_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    project_id BIGINT REFERENCES projects (id) ON DELETE CASCADE,
    created_by BIGINT REFERENCES users (id),
    single_use BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE pipelines (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    slug TEXT NOT NULL,
    definition TEXT NOT NULL,
    last_number BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (project_id, slug)
);

CREATE TABLE builds (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    uuid TEXT NOT NULL UNIQUE,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    pipeline_id BIGINT NOT NULL REFERENCES pipelines (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    sha TEXT NOT NULL,
    git_ref TEXT,
    ref_is_tag BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    created_by BIGINT REFERENCES users (id),
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    UNIQUE (pipeline_id, number)
);
CREATE INDEX builds_project ON builds (project_id, id);

-- What jobs require of a runner: one project with one set of tags.
CREATE TABLE queue_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    tags TEXT NOT NULL,
    UNIQUE (project_id, tags)
);

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    build_id BIGINT NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    queue_key_id BIGINT NOT NULL REFERENCES queue_keys (id),
    name TEXT NOT NULL,
    stage TEXT NOT NULL,
    spec TEXT NOT NULL,
    timeout_s INTEGER NOT NULL,
    allow_failure BOOLEAN NOT NULL,
    attempt INTEGER NOT NULL,
    retries_job_id BIGINT,
    superseded BOOLEAN NOT NULL,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    phase TEXT,
    failure_reason TEXT,
    failure_message TEXT,
    runner_id BIGINT,
    lease_expires_at BIGINT,
    lease_ms BIGINT,
    avoid_runner_id BIGINT,
    avoid_until BIGINT,
    created_at BIGINT NOT NULL,
    queued_at BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    erased_at BIGINT,
    erased_by BIGINT REFERENCES users (id),
    rev BIGINT NOT NULL
);
CREATE INDEX jobs_pending ON jobs (queue_key_id, priority DESC, id) WHERE state = 'pending';
CREATE INDEX jobs_leased ON jobs (lease_expires_at) WHERE state = 'running';
CREATE INDEX jobs_build ON jobs (build_id);
CREATE INDEX jobs_project ON jobs (project_id, id);

CREATE TABLE job_needs (
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    needs_job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (job_id, needs_job_id)
);
CREATE INDEX job_needs_needed ON job_needs (needs_job_id);

-- The trace of a job is the sequence of its chunks. Each chunk is a blob.
CREATE TABLE traces (
    job_id BIGINT PRIMARY KEY NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    length BIGINT NOT NULL,
    crc32 BIGINT NOT NULL
);

CREATE TABLE trace_chunks (
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    blob_key TEXT NOT NULL,
    PRIMARY KEY (job_id, start)
);

CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    job_id BIGINT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    blob_key TEXT,
    tags TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX artifacts_job ON artifacts (job_id, id);
CREATE INDEX artifacts_expiry ON artifacts (expires_at) WHERE expires_at IS NOT NULL;
