//! Files that builds are made of: a place for one, its upload, its download.

use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, web};
use slipway_domain::UploadId;
use slipway_farm::{FarmError, FileAction, FileLink};

use crate::body::Fields;
use crate::call::Call;
use crate::error::QuayError;
use crate::query::Query;
use crate::{Answer, convert};

/// `POST /api/v1/filedrop/`: makes a place for a file.
///
/// 200 with its id and the URL that fills it; 400 without a type; 401; 413; 415.
pub(crate) async fn place(call: Call, body: web::Payload) -> Answer {
    let actor = call.actor()?;
    let fields = Fields::read(&call.http, body).await?;
    let file = call.farm.create_upload(actor, fields.mime_type()?).await?;
    Ok(HttpResponse::Ok().json(convert::place(&call, &file)))
}

/// `PUT /userfiles/{file_id}`: fills the place of a file. Its URL is all that it takes.
///
/// 200; 403 when the URL is not whole or has expired, or a build uses the file; 404 without such a
/// place; 413.
pub(crate) async fn upload(call: Call, body: web::Payload) -> Answer {
    let file = opened(&call, FileAction::Upload)?;
    let filled = call.farm.fill_upload(file, body).await;
    filled.map_err(|error| match error {
        FarmError::Conflict(_) => QuayError::forbidden(),
        error => error.into(),
    })?;
    Ok(HttpResponse::Ok().content_type("text/plain").body("Okay"))
}

/// `GET /userfiles/{file_id}`: a file, for whoever was given a URL of it.
///
/// 200 with the file as an attachment; 403 when the URL is not whole or has expired; 404 without
/// such a file.
pub(crate) async fn download(call: Call) -> Answer {
    let file = opened(&call, FileAction::Download)?;
    let content = call.farm.upload_content(file).await?;
    let attachment = format!("attachment; filename=\"{file}\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((CONTENT_DISPOSITION, attachment))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .streaming(content))
}

/// The file that the path names, if the link opens this door of it.
fn opened(call: &Call, door: FileAction) -> Result<UploadId, QuayError> {
    let id = call.http.match_info().get("file").unwrap_or_default();
    let file: UploadId = id.parse().map_err(|_| QuayError::not_found())?;
    let query = Query::of(&call.http);
    let expires = query.first("expires").and_then(|text| text.parse().ok());
    let link = FileLink {
        expires: expires.ok_or_else(QuayError::forbidden)?,
        signature: query.first("signature").unwrap_or_default().to_owned(),
    };
    call.farm.check_file_link(door, file, &link)?;
    Ok(file)
}
