//! Requests for builds: of a commit, or of an uploaded source archive.

use slipway_domain::image::Repository;
use slipway_domain::{Slug, UploadId};
use slipway_farm::{BuildRequest, SourceRequest, UploadedFile};

use crate::error::{ApiError, ApiResult};
use crate::wire;

/// What a body requests to build.
pub(crate) enum RequestedBuild {
    Commit(BuildRequest),
    Source(UploadId, SourceRequest),
}

/// Reads the body of a new build.
///
/// # Errors
/// [`ApiError::Malformed`] for fields that cannot be combined.
pub(crate) fn requested_build(body: wire::NewBuild) -> ApiResult<RequestedBuild> {
    let malformed = |why: &str| Err(ApiError::Malformed(why.to_owned()));
    let pipeline = body.pipeline.unwrap_or_else(Slug::default_pipeline);
    let Some(source) = body.source else {
        // Ignoring them would build something else than the caller described.
        if body.image.is_some() || body.push.is_some() {
            return malformed(
                "`image` and `push` need `source`; a commit is built as its pipeline defines",
            );
        }
        return Ok(RequestedBuild::Commit(BuildRequest {
            pipeline,
            sha: body.sha,
            git_ref: body.git_ref,
        }));
    };
    if body.sha.is_some() || body.git_ref.is_some() {
        return malformed("`source` cannot be combined with `ref` or `sha`");
    }
    let request = SourceRequest {
        pipeline,
        image: body.image.unwrap_or_default(),
        push: body.push,
    };
    Ok(RequestedBuild::Source(source, request))
}

/// Reads the body of a check of a source build.
pub(crate) fn check_request(body: wire::BuildToCheck) -> SourceRequest {
    SourceRequest {
        pipeline: body.pipeline.unwrap_or_else(Slug::default_pipeline),
        image: body.image.unwrap_or_default(),
        push: body.push,
    }
}

/// The result of a check of a source build.
pub(crate) fn checked_build(repository: Option<Repository>) -> wire::CheckedBuild {
    wire::CheckedBuild {
        repository: repository.map(String::from),
    }
}

/// An uploaded source archive.
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
