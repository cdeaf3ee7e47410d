//! Packs the image of a job into an archive that can be loaded into another engine.

use slipway_domain::Phase;
use slipway_image_builder::{BuildError, Builder, Progress as _};

use super::{disk_limit, failure};
use crate::executor::{Artifact, ArtifactKind, Failure, Job};

/// How long the farm keeps the archive. Clients download it when the build has ended.
const EXPIRE_IN: &str = "1 day";

/// Packs the image that was built for a job, with these names. The archive counts towards the
/// job's disk limit.
pub(super) async fn save_image(
    builder: &Builder,
    job: &Job,
    names: &[String],
) -> Result<Option<Artifact>, Failure> {
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
        saved = disk_limit::enforce(builder.limits().disk_bytes, job, saving) => saved,
    };
    let size = saved?;
    job.output.line(&format!(
        "The packed image is {} KiB large",
        size.div_ceil(1024)
    ));
    Ok(Some(Artifact {
        kind: ArtifactKind::Image,
        path,
        name: "image.tar.gz".to_owned(),
        expire_in: Some(EXPIRE_IN.to_owned()),
        incomplete: None,
    }))
}
