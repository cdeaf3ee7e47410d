//! What builds leave: traces and artifacts.

use actix_web::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use actix_web::{HttpResponse, web};
use futures_util::StreamExt;
use slipway_domain::Role;
use slipway_domain::byte_range::ByteRange;
use slipway_farm::{Artifact, Content, Farm, FarmError};

use super::builds::{Named, named};
use crate::builds_v3::auth::Call;
use crate::builds_v3::error::V3Error;
use crate::builds_v3::{Answer, at, read};

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    let builds = "/projects/{id}/builds";
    config
        .service(
            at(&format!("{builds}/artifacts/{{ref_name:.+}}/download"))
                .route(read().to(newest_artifacts)),
        )
        .service(at(&format!("{builds}/{{build_id}}/artifacts")).route(read().to(artifacts)))
        .service(at(&format!("{builds}/{{build_id}}/trace")).route(read().to(trace)));
}

/// `GET /projects/:id/builds/:build_id/artifacts`: the artifacts of a build.
///
/// 200 with the file; 206 with a single range of it; 400 for an id that is none; 401; 403 without
/// the right to read builds; 404 without such a project or build, or artifacts of it that have not
/// expired; 416 when the range begins at or beyond the end.
async fn artifacts(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (_, listed) = named(&farm, &call, &path, Role::Reader).await?;
    let archive = listed.archive.ok_or(V3Error::NotFound)?;
    file(&farm, &call, &archive).await
}

/// `GET /projects/:id/builds/artifacts/:ref_name/download`: the artifacts of the job `job` in the
/// newest pipeline of a branch or tag that succeeded.
///
/// As for the artifacts of a build; 400 without `job`; 404 without such a pipeline or job, too.
async fn newest_artifacts(
    farm: web::Data<Farm>,
    call: Call,
    path: web::Path<(String, String)>,
) -> Answer {
    let (project, ref_name) = path.into_inner();
    let job = call.params.required("job")?;
    let access = call.builds(&project, Role::Reader).await?;
    let git_ref = ref_name.parse().map_err(|_| V3Error::NotFoundByName)?;
    match farm.newest_archive(&access, &git_ref, job).await {
        Ok(archive) => file(&farm, &call, &archive).await,
        Err(FarmError::NotFound(_)) => Err(V3Error::NotFoundByName),
        Err(error) => Err(error.into()),
    }
}

/// An archive, or the part of it that is asked for.
async fn file(farm: &Farm, call: &Call, archive: &Artifact) -> Answer {
    let Content::Archive { filename, .. } = &archive.content else {
        return Err(V3Error::NotFound);
    };
    let size = archive.size_bytes;
    let wanted = call.http.headers().get(RANGE);
    let part = ByteRange::from_header(wanted.and_then(|value| value.to_str().ok()), size)?;
    let range = part.bytes(size);
    let length = range.end - range.start;
    let content = farm.artifact_content(archive, Some(range)).await?;
    let mut answer = match part.content_range(size) {
        None => HttpResponse::Ok(),
        Some(which) => {
            let mut answer = HttpResponse::PartialContent();
            answer.insert_header((CONTENT_RANGE, which));
            answer
        }
    };
    Ok(answer
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename={filename}"),
        ))
        .insert_header(("Content-Transfer-Encoding", "binary"))
        .insert_header((ACCEPT_RANGES, "bytes"))
        .insert_header((CONTENT_LENGTH, length))
        .no_chunking(length)
        .streaming(content))
}

/// `GET /projects/:id/builds/:build_id/trace`: the trace as far as it is stored, as raw bytes.
///
/// 200; 400 for an id that is none; 401; 403 without the right to read builds; 404 without such a
/// project or build, or when not a byte of a trace is stored.
async fn trace(farm: web::Data<Farm>, call: Call, path: Named) -> Answer {
    let (_, listed) = named(&farm, &call, &path, Role::Reader).await?;
    let id = listed.job.id;
    let length = farm.trace_extent(id).await?.length;
    if length == 0 {
        return Err(V3Error::NotFound);
    }
    let bytes = farm.trace_bytes(id, 0..length).await?;
    // It is too late for another answer once the body has begun.
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
