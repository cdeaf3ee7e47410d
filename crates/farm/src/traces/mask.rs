//! The tokens that are masked in a trace when it is read; see [`slipway_masking::in_place`].

use slipway_masking::in_place::Mask;
use slipway_store::jobs::Job;
use slipway_store::{Conn, StoreError, projects};

use crate::farm::Farm;

impl Farm {
    /// The mask for the trace of a job.
    pub(crate) fn trace_mask(&self, conn: &mut Conn, job: &Job) -> Result<Mask, StoreError> {
        let own = self.job_token(job);
        let of_project = self.project_runners_token(&projects::get(conn, job.project)?);
        Ok(Mask::new([own.expose(), of_project.expose()]))
    }
}
