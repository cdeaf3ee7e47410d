//! Finds the image that the commands of a stock runner reported in the trace. Such a runner cannot
//! report images itself.

use slipway_domain::image::marker::MARKER_SEARCH_BYTES;
use slipway_domain::{ImageDetails, JobSpec};
use slipway_store::jobs::Job;

use crate::error::FarmError;
use crate::farm::Farm;
use crate::jobs::report::MadeImage;

impl Farm {
    /// The image that a marked line at the end of a job's trace reports. It was pushed where the
    /// job's spec says, with the tags of the spec.
    pub(crate) async fn marked_image(&self, job: &Job) -> Result<Option<MadeImage>, FarmError> {
        let JobSpec::ImageBuild(spec) = &job.spec else {
            return Ok(None);
        };
        let (Some(repository), Some(first)) = (&spec.repository, spec.tags.first()) else {
            return Ok(None);
        };
        let end = match self.end_of_trace(job.id, MARKER_SEARCH_BYTES).await {
            // The report must not fail for ever because bytes of the trace were lost.
            Err(error @ FarmError::ContentMissing { .. }) => {
                error.log();
                return Ok(None);
            }
            end => end?,
        };
        let Some(marked) = self.image_mark(job).find(&end) else {
            tracing::warn!(
                job.id = %job.id,
                "Job {} succeeded, but its trace does not report an image", job.id
            );
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
