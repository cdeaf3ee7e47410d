//! Which job a token belongs to.

use slipway_domain::{JobId, JobToken};
use slipway_store::jobs::{self, Job};

use crate::error::FarmError;
use crate::farm::Farm;

impl Farm {
    /// The job whose token `token` is, for a runner that sends its trace or artifacts. The runners
    /// token of its project is as good, as it was before jobs had tokens of their own.
    ///
    /// # Errors
    /// `NotFound` when there is no such job, `Forbidden` when it is another's token.
    pub(crate) async fn job_by_token(&self, id: JobId, token: &JobToken) -> Result<Job, FarmError> {
        let job = self.read(move |conn| jobs::get(conn, id)).await?;
        let given = token.hash();
        let is_own = self.job_token(id).hash() == given;
        if !is_own && self.project_runners_token(job.project).hash() != given {
            return Err(FarmError::Forbidden("the token is not this job's"));
        }
        if job.erased_at.is_some() {
            return Err(FarmError::Erased);
        }
        Ok(job)
    }

    /// Whether `token` may send to a job's trace, before anything of it is read.
    ///
    /// # Errors
    /// `NotFound`, `Forbidden`, `Erased`.
    pub async fn check_job_token(&self, id: JobId, token: &JobToken) -> Result<(), FarmError> {
        self.job_by_token(id, token).await.map(drop)
    }
}
