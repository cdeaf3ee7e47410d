//! The tokens that are masked in a trace when it is read; see [`slipway_masking::in_place`].

use slipway_domain::{JobId, ProjectId};
use slipway_masking::in_place::Mask;

use crate::farm::Farm;

impl Farm {
    /// The mask for the trace of a job of `project`.
    pub(crate) fn trace_mask(&self, job: JobId, project: ProjectId) -> Mask {
        let own = self.job_token(job);
        let of_project = self.project_runners_token(project);
        Mask::new([own.expose(), of_project.expose()])
    }
}
