//! When a job entered each phase, and how long its trace was at that moment.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use slipway_domain::{JobId, Phase};

use crate::engine::connection::Conn;
use crate::engine::time::{from_ms, parse};
use crate::error::StoreError;
use crate::schema::phase_entries;

/// The moment at which a running job entered a phase or finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseEntry {
    /// Absent for the end of the job.
    pub phase: Option<Phase>,
    /// In bytes.
    pub trace_length: u64,
    pub at: DateTime<Utc>,
    /// The base image that is pulled in this phase, if the runner reported it.
    pub base_image: Option<String>,
}

/// Records that a job entered `phase`, or finished if that is absent, when its trace had
/// `trace_length` bytes. `now` is in milliseconds.
pub(crate) fn note(
    conn: &mut Conn,
    job: JobId,
    phase: Option<Phase>,
    trace_length: u64,
    now: i64,
) -> Result<(), StoreError> {
    diesel::insert_into(phase_entries::table)
        .values((
            phase_entries::job_id.eq(job.0),
            phase_entries::phase.eq(phase.map(Phase::as_str)),
            phase_entries::trace_length.eq(i64::try_from(trace_length).unwrap_or(i64::MAX)),
            phase_entries::at.eq(now),
        ))
        .execute(conn)?;
    Ok(())
}

/// Records which base image a job pulls in its pulling phase. A recorded image is not replaced.
pub fn record_base_image(conn: &mut Conn, job: JobId, image: &str) -> Result<(), StoreError> {
    diesel::update(
        phase_entries::table
            .filter(phase_entries::job_id.eq(job.0))
            .filter(phase_entries::phase.eq(Phase::Pulling.as_str()))
            .filter(phase_entries::base_image.is_null()),
    )
    .set(phase_entries::base_image.eq(image))
    .execute(conn)?;
    Ok(())
}

/// The phases of a job in the order in which it entered them.
pub fn of_job(conn: &mut Conn, job: JobId) -> Result<Vec<PhaseEntry>, StoreError> {
    type Row = (Option<String>, i64, i64, Option<String>);
    let rows: Vec<Row> = phase_entries::table
        .filter(phase_entries::job_id.eq(job.0))
        .order(phase_entries::id)
        .select((
            phase_entries::phase,
            phase_entries::trace_length,
            phase_entries::at,
            phase_entries::base_image,
        ))
        .load(conn)?;
    rows.into_iter()
        .map(|(phase, length, at, base_image)| {
            Ok(PhaseEntry {
                phase: phase.map(|word| parse(&word, "phase")).transpose()?,
                trace_length: u64::try_from(length).unwrap_or(0),
                at: from_ms(at)?,
                base_image,
            })
        })
        .collect()
}
