//! Downloads of the artifacts and traces of builds.

use actix_web::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use actix_web::{HttpResponse, web};
use futures_util::StreamExt;
use slipway_domain::Role;
use slipway_domain::byte_range::ByteRange;
use slipway_farm::{Artifact, Content, Farm, FarmError};

use super::builds::{BuildPath, find_build};
use crate::artifacts::{DownloadHeaders, archive_response};
use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::{Answer, at, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let builds = "/projects/{id}/builds";
    config
        .service(
            at(
                &format!("{builds}/artifacts/{{ref_name:.+}}/download"),
                "GET, HEAD",
            )
            .route(read().to(newest_artifacts)),
        )
        .service(
            at(&format!("{builds}/{{build_id}}/artifacts"), "GET, HEAD")
                .route(read().to(artifacts)),
        )
        .service(at(&format!("{builds}/{{build_id}}/trace"), "GET, HEAD").route(read().to(trace)));
}

/// `GET /projects/:id/builds/:build_id/artifacts`: downloads the artifacts of a build.
///
/// 200 with the file; 206 with a single range of it; 400 if the id is invalid; 401; 403 without the
/// right to read builds; 404 if the project or build does not exist, or has no artifacts that have
/// not expired; 416 if the range starts at or after the end of the file.
async fn artifacts(farm: web::Data<Farm>, call: Call, path: BuildPath) -> Answer {
    let (_, listed) = find_build(&farm, &call, &path, Role::Reader).await?;
    let archive = listed.archive.ok_or(V3Error::NotFound)?;
    send_archive(&farm, &call, &archive).await
}

/// `GET /projects/:id/builds/artifacts/:ref_name/download`: downloads the artifacts of the job
/// `job` in the newest successful pipeline of a branch or tag.
///
/// Answers as the artifacts of a build do; also 400 if `job` is missing, and 404 if there is no
/// such pipeline or job.
async fn newest_artifacts(
    farm: web::Data<Farm>,
    call: Call,
    path: web::Path<(String, String)>,
) -> Answer {
    let (project, ref_name) = path.into_inner();
    let job = call.params.required("job")?;
    let access = call.builds(&project, Role::Reader).await?;
    // A text that cannot be a ref names no ref, which is 404 and not 400.
    let git_ref = ref_name.parse().map_err(|_| V3Error::NotFoundByName)?;
    match farm.newest_archive(&access, &git_ref, job).await {
        Ok(archive) => send_archive(&farm, &call, &archive).await,
        Err(FarmError::NotFound(_)) => Err(V3Error::NotFoundByName),
        Err(error) => Err(error.into()),
    }
}

/// Sends an archive, or the requested range of it.
async fn send_archive(farm: &Farm, call: &Call, archive: &Artifact) -> Answer {
    let Content::Archive { filename, .. } = &archive.content else {
        return Err(V3Error::NotFound);
    };
    let size = archive.size_bytes;
    let requested = call.http.headers().get(RANGE);
    let part = ByteRange::from_header(requested.and_then(|value| value.to_str().ok()), size)?;
    let range = part.bytes(size);
    let length = range.end - range.start;
    let content = farm.artifact_content(archive, Some(range)).await?;
    let mut answer = match part.content_range(size) {
        None => HttpResponse::Ok(),
        Some(content_range) => {
            let mut answer = HttpResponse::PartialContent();
            answer.insert_header((CONTENT_RANGE, content_range));
            answer
        }
    };
    answer.insert_header((ACCEPT_RANGES, "bytes"));
    Ok(archive_response(
        answer,
        DownloadHeaders::GitLab8,
        filename,
        length,
        content,
    ))
}

/// `GET /projects/:id/builds/:build_id/trace`: the stored part of the trace, as raw bytes.
///
/// 200; 400 if the id is invalid; 401; 403 without the right to read builds; 404 if the project or
/// build does not exist, or no byte of its trace is stored.
async fn trace(farm: web::Data<Farm>, call: Call, path: BuildPath) -> Answer {
    let (_, listed) = find_build(&farm, &call, &path, Role::Reader).await?;
    let id = listed.job.id;
    let length = farm.trace_extent(id).await?.length;
    // An erased trace is empty, too.
    if length == 0 {
        return Err(V3Error::NotFound);
    }
    // The trace of a running job grows, and the body must not be longer than announced.
    let bytes = farm.trace_bytes(id, 0..length).await?;
    // An error in the middle of the body can only be logged: the status has already been sent.
    let bytes = bytes.map(|item| item.inspect_err(FarmError::log));
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/plain"))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("infile; filename=\"{id}.log\""),
        ))
        .insert_header((CONTENT_LENGTH, length))
        .no_chunking(length)
        .streaming(bytes))
}
