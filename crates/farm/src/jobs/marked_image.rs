//! The image that a stock runner's commands told of in the trace, since the runner itself cannot.

use futures_util::TryStreamExt as _;
use slipway_domain::image::marker::MARKER_SEARCH_BYTES;
use slipway_domain::{ImageDetails, JobSpec};
use slipway_store::jobs::Job;

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::report::MadeImage;

impl Farm {
    /// The image that the end of a job's trace tells of: pushed to where the job's spec says, under
    /// the tags it names.
    pub(crate) async fn marked_image(&self, job: &Job) -> Result<Option<MadeImage>, FarmError> {
        let JobSpec::ImageBuild(spec) = &job.spec else {
            return Ok(None);
        };
        let (Some(repository), Some(first)) = (&spec.repository, spec.tags.first()) else {
            return Ok(None);
        };
        let length = self.trace_extent(job.id).await?.length;
        let from = length.saturating_sub(MARKER_SEARCH_BYTES);
        let pieces = self.trace_bytes(job.id, from..length).await?;
        let end: Vec<_> = pieces.try_collect().await?;
        let Some(marked) = self.image_mark(job.id).find(&end.concat()) else {
            tracing::warn!(job.id = %job.id, "Job {} succeeded and told of no image", job.id);
            return Ok(None);
        };
        Ok(Some(MadeImage {
            reference: Some(repository.tagged(first)),
            digest: marked.digest,
            tags: spec.tags.clone(),
            details: ImageDetails::default(),
            size_bytes: marked.size_bytes,
        }))
    }
}
