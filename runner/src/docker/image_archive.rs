//! The image of a job as an archive, for whoever loads it into an engine of their own.

use slipway_domain::Phase;
use slipway_image_builder::{BuildError, Builder, Progress as _};

use super::{build_cache, failure};
use crate::executor::{Archive, ArchiveKind, Failure, Job};

/// How long the farm keeps it. It is fetched as soon as the build is over.
const EXPIRE_IN: &str = "1 day";

/// Packs the image that was built for a job, with these names, within the disk that the job may use.
pub(super) async fn save_image(
    builder: &Builder,
    job: &Job,
    names: &[String],
) -> Result<Option<Archive>, Failure> {
    job.output.phase(Phase::Uploading);
    job.output.line("Packing the image");
    let path = job.dir.join("image.tar.gz");
    let id = job.payload.id.to_string();
    let saving = async {
        let saved = builder.save(&id, names, &path, job.own.max_file_bytes);
        saved.await.map_err(|error| {
            let mut failure = failure(&error);
            // The limit is the farm's: the builder does not know which setting raises it.
            if let BuildError::ArchiveTooLarge { .. } = error {
                let advice = "; the operator of the farm can raise --max-artifact-bytes";
                failure.message.push_str(advice);
            }
            failure
        })
    };
    let saved = tokio::select! {
        biased;
        () = job.stop.stopped() => return Ok(None),
        saved = build_cache::within(builder.limits().disk_bytes, job, saving) => saved,
    };
    let size = saved?;
    job.output
        .line(&format!("The packed image has {} KiB", size.div_ceil(1024)));
    Ok(Some(Archive {
        kind: ArchiveKind::Image,
        path,
        name: "image.tar.gz".to_owned(),
        expire_in: Some(EXPIRE_IN.to_owned()),
    }))
}
