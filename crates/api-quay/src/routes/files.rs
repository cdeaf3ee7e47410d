//! Files that builds are made from: registration, upload and download.

use actix_web::HttpResponse;
use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use slipway_domain::UploadId;
use slipway_farm::{FarmError, FileAccess, FileAction, FileLink};
use slipway_http::UnreadBody;

use super::Answer;
use crate::auth::Call;
use crate::convert;
use crate::error::QuayError;
use crate::wire::{Fields, Query};

/// `POST /api/v1/filedrop/`: registers a file that will be uploaded.
///
/// 200 with its id and the URL for the upload; 400 without a media type; 401; 413; 415.
pub(super) async fn create(call: Call, body: UnreadBody) -> Answer {
    let actor = call.actor()?;
    let fields = Fields::read(&call, body).await?;
    let file = call.farm.create_upload(actor, fields.mime_type()?).await?;
    Ok(HttpResponse::Ok().json(convert::file_drop(&call, &file)))
}

/// `PUT /userfiles/{file_id}`: uploads a registered file. The signed URL is the only credential.
///
/// 200; 403 if the URL's signature is invalid or has expired, or a build uses the file; 404 if the
/// file is not registered; 413.
pub(super) async fn upload(call: Call, body: UnreadBody) -> Answer {
    let file = signed_file(&call, FileAction::Upload)?;
    let filled = call.farm.fill_upload(file.id(), body.stream(&file)).await;
    // A file that a build has used must not change, so its URL no longer works.
    filled.map_err(|error| match error {
        FarmError::Conflict(_) => QuayError::forbidden(),
        error => error.into(),
    })?;
    Ok(HttpResponse::Ok().content_type("text/plain").body("Okay"))
}

/// `GET /userfiles/{file_id}`: downloads a file. The signed URL is the only credential.
///
/// 200 with the file as an attachment; 403 if the URL's signature is invalid or has expired; 404 if
/// the file does not exist.
pub(super) async fn download(call: Call) -> Answer {
    let file = signed_file(&call, FileAction::Download)?;
    let file = file.id();
    let content = call.farm.upload_content(file).await?;
    let attachment = format!("attachment; filename=\"{file}\"");
    Ok(HttpResponse::Ok()
        // Uploads come from strangers: a browser must not show one as a page of this origin.
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((CONTENT_DISPOSITION, attachment))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .streaming(content))
}

/// The file that the path names, if the URL is signed for this operation.
fn signed_file(call: &Call, operation: FileAction) -> Result<FileAccess, QuayError> {
    let id = call.http.match_info().get("file").unwrap_or_default();
    let file: UploadId = id.parse().map_err(|_| QuayError::not_found())?;
    let query = Query::new(&call.http);
    let expires = query.first("expires").and_then(|text| text.parse().ok());
    let link = FileLink {
        expires: expires.ok_or_else(QuayError::forbidden)?,
        signature: query.first("signature").unwrap_or_default().to_owned(),
    };
    Ok(call.farm.check_file_link(operation, file, &link)?)
}
