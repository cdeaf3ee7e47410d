//! The baselines: the same claim in plain SQL, and the data that both work on.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection};

use crate::PROJECTS;
use crate::database::{BenchDatabase, Location, open};

/// The commit of every build.
const SHA: &str = "9b1d6c0c4f1f4f0e8f1b2c3d4e5f60718293a4b5";
/// What every job does.
const SPEC: &str = r#"{"kind": "script", "commands": ["true"]}"#;

/// Statements that both back ends understand.
pub(crate) fn fill(depth: usize) -> String {
    let numbers = |count: usize| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        )
    };
    let mut sql = String::new();
    for table in [
        "jobs",
        "builds",
        "queue_keys",
        "pipelines",
        "project_loads",
        "projects",
        "namespaces",
        "runners",
    ] {
        sql += &format!("DELETE FROM {table};");
    }
    sql += "INSERT INTO namespaces (id, name, created_at) VALUES (1, 'bench', 0);";
    sql += &format!(
        "INSERT INTO projects (id, namespace_id, name, repo_url, default_branch, shared_runners, created_at) \
         {} SELECT i, 1, 'p' || i, 'http://x/y', 'main', TRUE, 0 FROM n;",
        numbers(PROJECTS)
    );
    sql += "INSERT INTO project_loads (project_id, running) SELECT id, 0 FROM projects;";
    sql += "INSERT INTO queue_keys (id, project_id, tags) SELECT id, id, '' FROM projects;";
    sql += "INSERT INTO pipelines (id, project_id, slug, definition, last_number, created_at) \
            SELECT id, id, 'default', '{}', 0, 0 FROM projects;";
    sql += &format!(
        "INSERT INTO runners (id, description, tags, run_untagged, locked, shared, paused, heartbeat, \
         created_at, rev) {} SELECT i, '', '', TRUE, FALSE, TRUE, FALSE, TRUE, 0, 0 FROM n;",
        numbers(64)
    );
    sql += &format!(
        "INSERT INTO builds (id, uuid, project_id, pipeline_id, number, sha, ref_is_tag, state, created_at) \
         {} SELECT i, substr(CAST(100000000 + i AS TEXT), 2) || '-0000-4000-8000-000000000000', \
         1 + i % {PROJECTS}, 1 + i % {PROJECTS}, i, '{SHA}', FALSE, 'pending', 0 FROM n;",
        numbers(depth.div_ceil(10))
    );
    sql += &format!(
        "INSERT INTO jobs (id, build_id, project_id, queue_key_id, name, stage, spec, timeout_s, \
         allow_failure, attempt, superseded, priority, state, created_at, queued_at, rev) \
         {} SELECT i, b.id, b.project_id, b.project_id, 'image', 'build', '{SPEC}', 3600, FALSE, 1, FALSE, 0, \
         'pending', 0, 0, 0 FROM n JOIN builds b ON b.id = (i + 9) / 10;",
        numbers(depth)
    );
    sql
}

/// Makes every running job pending again.
pub(crate) const MAKE_ALL_PENDING: &str = "\
    UPDATE jobs SET state = 'pending', phase = NULL, lease_expires_at = NULL WHERE state = 'running'; \
    UPDATE builds SET state = 'pending' WHERE state = 'running'; \
    UPDATE project_loads SET running = 0;";

/// One claim, from the head of the queue key `key`.
fn claim(key: &str, lock: &str) -> String {
    format!(
        "UPDATE jobs SET state = 'running', phase = 'preparing', runner_id = 1, lease_ms = 15000, \
         lease_expires_at = 15000, started_at = 0, rev = rev + 1 \
         WHERE id = (SELECT id FROM jobs WHERE state = 'pending' AND queue_key_id = {key} \
         ORDER BY priority DESC, id LIMIT 1 {lock}) RETURNING id"
    )
}

#[derive(QueryableByName)]
struct Claimed {
    #[diesel(sql_type = BigInt)]
    #[expect(
        dead_code,
        reason = "only the number of rows counts, but the row must be read as the store reads it"
    )]
    id: i64,
}

impl BenchDatabase {
    /// Fills the queue with `depth` pending jobs.
    pub(crate) fn fill(&self, depth: usize) -> anyhow::Result<()> {
        self.execute(&fill(depth))?;
        if let Location::Postgres { .. } = &self.location {
            // The rows have ids of their own, so the sequence does not know that they are used.
            let next = "SELECT setval(pg_get_serial_sequence('runners', 'id'), 1000)";
            self.execute(next)?;
        }
        self.vacuum()
    }

    /// Makes every running job pending again.
    pub(crate) fn make_all_pending(&self) -> anyhow::Result<()> {
        self.execute(MAKE_ALL_PENDING)?;
        self.vacuum()
    }

    /// Claims jobs one by one in plain SQL, as fast as possible.
    pub(crate) fn baseline_claims_per_second(&self, round: Duration) -> anyhow::Result<f64> {
        match &self.location {
            Location::Sqlite { path, .. } => sqlite_loop(&mut open(path)?, round),
            Location::Postgres { url, .. } => pgbench(url, round),
        }
    }
}

fn sqlite_loop(conn: &mut SqliteConnection, round: Duration) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut claims = 0usize;
    while begin.elapsed() < round {
        let sql = claim(&(1 + claims % PROJECTS).to_string(), "");
        let claimed: Vec<Claimed> =
            conn.immediate_transaction(|conn| diesel::sql_query(sql).load(conn))?;
        claims += claimed.len();
    }
    Ok(claims as f64 / begin.elapsed().as_secs_f64())
}

fn pgbench(url: &str, round: Duration) -> anyhow::Result<f64> {
    let script = tempfile::NamedTempFile::new()?;
    let sql = claim(":key", "FOR UPDATE SKIP LOCKED");
    std::fs::write(
        &script,
        format!("\\set key random(1, {PROJECTS})\n{sql};\n"),
    )?;
    let program = std::env::var("SLIPWAY_PGBENCH").unwrap_or_else(|_| "pgbench".to_owned());
    let output = Command::new(program)
        .args([
            "--no-vacuum",
            "--protocol=prepared",
            "--client=32",
            "--jobs=2",
        ])
        .arg(format!("--time={}", round.as_secs().max(1)))
        .arg(format!("--file={}", script.path().display()))
        .arg(url)
        .output()
        .context("could not start pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    match rate {
        Some(rate) => Ok(rate),
        None => bail!(
            "pgbench printed no rate: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}
