-- Who pulls base images for builds that name it: a name in the namespace, which at the registry is
-- `namespace+name`.
CREATE TABLE robots (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    namespace_id BIGINT NOT NULL REFERENCES namespaces (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    registry TEXT NOT NULL,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (namespace_id, name)
);
