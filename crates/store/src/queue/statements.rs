//! The statements of the queue that differ between SQLite and PostgreSQL.
//!
//! SQLite has one writer and needs no row locks. On PostgreSQL several coordinators claim at once.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text};

use crate::engine::connection::Conn;
use crate::engine::literals::{FixedStatement, IsPending, RecordClaimRequest};
use crate::engine::time::to_ms;
use crate::error::StoreError;
use crate::queue::types::{AddedLoad, Claim, HeadRow};
use crate::schema::{builds, jobs, project_loads, queue_keys, queued_jobs};

/// Creates a queue key unless it exists.
pub(crate) fn ensure_queue_key(
    conn: &mut Conn,
    project: i64,
    tags: &str,
) -> Result<(), StoreError> {
    let values = (
        queue_keys::project_id.eq(project),
        queue_keys::tags.eq(tags),
    );
    // The query builder offers `ON CONFLICT` only for a concrete back end.
    let insert = diesel::insert_into(queue_keys::table).values(values);
    match conn {
        Conn::Sqlite(conn) => insert.on_conflict_do_nothing().execute(conn)?,
        Conn::Postgres(conn) => insert.on_conflict_do_nothing().execute(conn)?,
    };
    Ok(())
}

/// Locks the pending builds among `builds`, which are sorted, because a claim changes their state.
pub(crate) fn lock_pending_builds(conn: &mut Conn, builds: &[i64]) -> Result<(), StoreError> {
    if let Conn::Postgres(conn) = conn {
        builds::table
            .filter(builds::id.eq_any(builds).and(builds::state.eq("pending")))
            .order(builds::id)
            .select(builds::id)
            .for_update()
            .load::<i64>(conn)?;
    }
    Ok(())
}

/// Up to `depth` pending jobs from the head of each queue key.
pub(crate) fn heads(conn: &mut Conn, keys: &[i64], depth: i64) -> Result<Vec<HeadRow>, StoreError> {
    match conn {
        Conn::Sqlite(conn) => {
            // SQLite has no LATERAL join; one prepared query per key costs little without a network.
            let mut heads = Vec::new();
            for key in keys {
                let rows: Vec<HeadRow> = queued_jobs::table
                    .filter(IsPending.and(queued_jobs::queue_key_id.eq(key)))
                    .order((queued_jobs::priority.desc(), queued_jobs::id))
                    .limit(depth)
                    .select((
                        queued_jobs::id,
                        queued_jobs::queue_key_id,
                        queued_jobs::build_id,
                        queued_jobs::priority,
                        queued_jobs::avoid_runner_id,
                        queued_jobs::avoid_until,
                        queued_jobs::kept_for_runner_id,
                        queued_jobs::kept_until,
                    ))
                    .load(conn)?;
                heads.extend(rows);
            }
            Ok(heads)
        }
        Conn::Postgres(conn) => Ok(diesel::sql_query(
            "SELECT j.* FROM unnest($1) AS k(key) CROSS JOIN LATERAL ( \
                 SELECT id, queue_key_id AS key, build_id, priority, \
                     avoid_runner_id, avoid_until, kept_for_runner_id, kept_until \
                 FROM jobs WHERE state = 'pending' AND queue_key_id = k.key \
                 ORDER BY priority DESC, id LIMIT $2) AS j",
        )
        .bind::<Array<BigInt>, _>(keys)
        .bind::<BigInt, _>(depth)
        .load(conn)?),
    }
}

/// Drops the claims of jobs that another coordinator is claiming at this moment.
pub(crate) fn drop_contested(
    conn: &mut Conn,
    claims: &mut Vec<Claim<'_>>,
) -> Result<(), StoreError> {
    if let Conn::Postgres(conn) = conn {
        // SKIP LOCKED leaves a contested job to the other coordinator instead of waiting for it.
        let wanted: Vec<i64> = claims.iter().map(|claim| claim.job.0).collect();
        let locked: Vec<i64> = jobs::table
            .filter(jobs::id.eq_any(wanted).and(jobs::state.eq("pending")))
            .select(jobs::id)
            .for_update()
            .skip_locked()
            .load(conn)?;
        claims.retain(|claim| locked.contains(&claim.job.0));
    }
    Ok(())
}

/// Checks that none of `added`, which is sorted by project, exceeds a limit, and locks the loads.
/// With a single writer the assignment has already ensured this.
pub(crate) fn check_limits(conn: &mut Conn, added: &[AddedLoad]) -> Result<(), StoreError> {
    let Conn::Postgres(conn) = conn else {
        return Ok(());
    };
    let projects: Vec<i64> = added.iter().map(|load| load.project.0).collect();
    let loads: HashMap<i64, i32> = project_loads::table
        .filter(project_loads::project_id.eq_any(projects))
        .order(project_loads::project_id)
        .for_update()
        .load::<(i64, i32)>(conn)?
        .into_iter()
        .collect();
    for load in added {
        let running = loads.get(&load.project.0).copied().unwrap_or(0) + load.count;
        if load
            .limit
            .is_some_and(|limit| i64::from(running) > i64::from(limit))
        {
            // Another coordinator claimed jobs of the project meanwhile, so the batch must
            // start over.
            return Err(StoreError::Stale);
        }
    }
    Ok(())
}

/// Marks the pending ones of `builds` as running. Their timeout starts now.
pub(crate) fn start_builds(
    conn: &mut Conn,
    builds: &[i64],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    match conn {
        Conn::Sqlite(conn) => {
            for build in builds {
                let begin = FixedStatement {
                    before: [
                        "UPDATE builds SET state = 'running', started_at = ",
                        ", deadline_at = timeout_s * 1000 + ",
                        " WHERE id = ",
                    ],
                    numbers: [to_ms(now), to_ms(now), *build],
                    after: " AND state = 'pending'",
                };
                begin.execute(conn)?;
            }
        }
        Conn::Postgres(conn) => {
            diesel::update(builds::table)
                .filter(builds::id.eq_any(builds).and(builds::state.eq("pending")))
                .set((
                    builds::state.eq("running"),
                    builds::started_at.eq(to_ms(now)),
                    builds::deadline_at
                        .eq(builds::timeout_s.cast::<Nullable<BigInt>>() * 1000 + to_ms(now)),
                ))
                .execute(conn)?;
        }
    }
    Ok(())
}

/// Counts more running jobs for each project.
pub(crate) fn add_loads(conn: &mut Conn, added: &[AddedLoad]) -> Result<(), StoreError> {
    match conn {
        Conn::Sqlite(conn) => {
            for load in added {
                let add = FixedStatement {
                    before: [
                        "UPDATE project_loads SET running = running + ",
                        " WHERE project_id = ",
                    ],
                    numbers: [i64::from(load.count), load.project.0],
                    after: "",
                };
                add.execute(conn)?;
            }
        }
        Conn::Postgres(conn) => {
            let (projects, counts): (Vec<i64>, Vec<i32>) = added
                .iter()
                .map(|load| (load.project.0, load.count))
                .unzip();
            diesel::sql_query(
                "UPDATE project_loads SET running = running + a.count \
                 FROM unnest($1, $2) AS a(project, count) WHERE project_id = a.project",
            )
            .bind::<Array<BigInt>, _>(projects)
            .bind::<Array<Integer>, _>(counts)
            .execute(conn)?;
        }
    }
    Ok(())
}

/// Writes the rows of claimed jobs.
pub(crate) fn write_claims(
    conn: &mut Conn,
    claims: &[Claim<'_>],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    match conn {
        Conn::Sqlite(conn) => {
            for claim in claims {
                let run = FixedStatement {
                    before: [
                        "UPDATE jobs SET state = 'running', phase = 'preparing', rev = rev + 1, runner_id = ",
                        ", lease_ms = ",
                        ", lease_expires_at = ",
                        ", started_at = ",
                        " WHERE id = ",
                    ],
                    numbers: [
                        claim.request.runner.0,
                        claim.request.lease.num_milliseconds(),
                        to_ms(claim.lease().expires_at),
                        to_ms(now),
                        claim.job.0,
                    ],
                    after: "",
                };
                run.execute(conn)?;
                if let Some(request) = claim.request.request {
                    let record = RecordClaimRequest {
                        request: request.to_string(),
                        job: claim.job.0,
                    };
                    record.execute(conn)?;
                }
            }
            Ok(())
        }
        Conn::Postgres(conn) => {
            // One statement for the whole batch, because each costs a round trip to the server.
            let ids: Vec<i64> = claims.iter().map(|claim| claim.job.0).collect();
            let runners: Vec<i64> = claims.iter().map(|claim| claim.request.runner.0).collect();
            let leases: Vec<i64> = claims
                .iter()
                .map(|claim| claim.request.lease.num_milliseconds())
                .collect();
            let until: Vec<i64> = claims
                .iter()
                .map(|claim| to_ms(claim.lease().expires_at))
                .collect();
            let requests: Vec<Option<String>> = claims
                .iter()
                .map(|claim| claim.request.request.map(|request| request.to_string()))
                .collect();
            diesel::sql_query(
                "UPDATE jobs SET state = 'running', phase = 'preparing', runner_id = c.runner, \
                     lease_ms = c.lease, lease_expires_at = c.until, claim_request = c.request, \
                     started_at = $5, rev = rev + 1 \
                 FROM unnest($1, $2, $3, $4, $6) AS c(id, runner, lease, until, request) \
                 WHERE jobs.id = c.id",
            )
            .bind::<Array<BigInt>, _>(ids)
            .bind::<Array<BigInt>, _>(runners)
            .bind::<Array<BigInt>, _>(leases)
            .bind::<Array<BigInt>, _>(until)
            .bind::<BigInt, _>(to_ms(now))
            .bind::<Array<Nullable<Text>>, _>(requests)
            .execute(conn)?;
            Ok(())
        }
    }
}
