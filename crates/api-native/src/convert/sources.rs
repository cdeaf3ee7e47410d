//! What is asked to be built: a commit, or sources that were sent.

use slipway_domain::image::Repository;
use slipway_domain::{Slug, UploadId};
use slipway_farm::{BuildRequest, SourceRequest, UploadedFile};

use crate::error::ApiError;
use crate::wire;

/// What a body asks to be built.
pub(crate) enum Asked {
    Commit(BuildRequest),
    Source(UploadId, SourceRequest),
}

/// What a body asks to be built.
pub(crate) fn asked(body: wire::NewBuild) -> Result<Asked, ApiError> {
    let refused = |why: &str| Err(ApiError::Malformed(why.to_owned()));
    let pipeline = body.pipeline.unwrap_or_else(Slug::default_pipeline);
    let Some(source) = body.source else {
        if body.image.is_some() || body.push.is_some() {
            return refused(
                "`image` and `push` go with `source`: a commit is built by its pipeline",
            );
        }
        return Ok(Asked::Commit(BuildRequest {
            pipeline,
            sha: body.sha,
            git_ref: body.git_ref,
        }));
    };
    if body.sha.is_some() || body.git_ref.is_some() {
        return refused("`ref` and `sha` do not go with `source`, which is built in their place");
    }
    let request = SourceRequest {
        pipeline,
        image: body.image.unwrap_or_default(),
        push: body.push,
    };
    Ok(Asked::Source(source, request))
}

/// How sources are to be built that are not sent yet.
pub(crate) fn asked_before(body: wire::BuildToCheck) -> SourceRequest {
    SourceRequest {
        pipeline: body.pipeline.unwrap_or_else(Slug::default_pipeline),
        image: body.image.unwrap_or_default(),
        push: body.push,
    }
}

/// What is known of a build before it is made.
pub(crate) fn checked_build(repository: Option<Repository>) -> wire::CheckedBuild {
    wire::CheckedBuild {
        repository: repository.map(String::from),
    }
}

/// Sources that were sent.
pub(crate) fn source(file: UploadedFile) -> wire::Source {
    let (size_bytes, sha256) = match file.content {
        Some(content) => (content.size_bytes, content.sha256),
        None => (0, String::new()),
    };
    wire::Source {
        id: file.id.to_string(),
        size_bytes,
        sha256,
        expires_at: file.expires_at,
    }
}
