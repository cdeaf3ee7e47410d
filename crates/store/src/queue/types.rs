//! The types that a claim passes through, from the request to the written row.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable};
use slipway_domain::queue::Capabilities;
use slipway_domain::{ClaimRequestId, JobId, Lease, ProjectId, QueueKeyId, RunnerId};

/// A runner's request for a job.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    pub runner: RunnerId,
    pub capabilities: Capabilities,
    /// By how much each heartbeat extends the lease.
    pub lease: TimeDelta,
    /// The id of the request, if the runner sends one. Asking again returns the same job.
    pub request: Option<ClaimRequestId>,
    /// What is recorded about the manager that claims, if there is anything to record.
    pub manager: Option<ClaimingManager>,
    pub now: DateTime<Utc>,
}

/// The manager of a runner that claims a job.
#[derive(Clone, Debug)]
pub struct ClaimingManager {
    /// Identifies it among the managers of its runner.
    pub system_id: Option<String>,
    /// Whether it ends a canceled job gracefully.
    pub graceful: bool,
}

impl ClaimRequest {
    /// What is the same when the runner asks again, and of no other request.
    pub(crate) fn identity(&self) -> Option<(RunnerId, ClaimRequestId)> {
        self.request.map(|request| (self.runner, request))
    }
}

/// A claimed job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub job: JobId,
    pub key: QueueKeyId,
    /// Whether the same request claimed the job before, so that its answer was lost.
    pub is_again: bool,
}

/// A pending job at the head of its queue key.
#[derive(QueryableByName, Queryable)]
pub(crate) struct HeadRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) id: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) key: i64,
    #[diesel(sql_type = BigInt)]
    pub(crate) build_id: i64,
    #[diesel(sql_type = Integer)]
    pub(crate) priority: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) avoid_runner_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) avoid_until: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) kept_for_runner_id: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) kept_until: Option<i64>,
}

/// One claim of a batch.
pub(crate) struct Claim<'a> {
    pub(crate) index: usize,
    pub(crate) job: JobId,
    pub(crate) key: QueueKeyId,
    pub(crate) project: ProjectId,
    /// How many jobs the project may run at once.
    pub(crate) limit: Option<u32>,
    pub(crate) build: i64,
    pub(crate) request: &'a ClaimRequest,
}

impl Claim<'_> {
    /// The lease that the claim starts with.
    pub(crate) fn lease(&self) -> Lease {
        Lease {
            runner: self.request.runner,
            expires_at: self.request.now + self.request.lease,
        }
    }
}

/// How many claims of one batch belong to one project.
pub(crate) struct AddedLoad {
    pub(crate) project: ProjectId,
    pub(crate) count: i32,
    /// How many jobs the project may run at once.
    pub(crate) limit: Option<u32>,
}
