//! The multipart form of an upload: fields and one file, which is streamed.

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::{HttpRequest, web};
use chrono::TimeDelta;
use futures_util::{StreamExt, TryStreamExt};
use serde::Deserialize;
use slipway_farm::{FarmError, FileKind};
use slipway_http::{BodyError, BodyStream};

use crate::bad_input::BadInput;
use crate::params::{MAX_FIELDS, too_many_fields};

/// Largest size of a field other than the file, in bytes.
const MAX_FIELD_BYTES: usize = 4096;
/// The name of a file that was sent without one.
const DEFAULT_FILE_NAME: &str = "artifacts.zip";

/// The parameters of an upload, from the query or from the form.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UploadParams {
    expire_in: Option<String>,
    artifact_type: Option<String>,
    artifact_format: Option<String>,
    /// The job token, if it is a field that was read.
    #[serde(skip)]
    pub(crate) token: Option<String>,
    /// How many fields of the form were read.
    #[serde(skip)]
    count: usize,
}

impl UploadParams {
    /// Parameters from elsewhere.
    pub(crate) fn of(
        expire_in: Option<String>,
        artifact_type: Option<String>,
        artifact_format: Option<String>,
    ) -> Self {
        Self {
            expire_in,
            artifact_type,
            artifact_format,
            ..Self::default()
        }
    }

    /// The parameters in the query, except for the token, which is read as in every other request.
    pub(crate) fn from_query(http: &HttpRequest) -> Self {
        let query = web::Query::<Self>::from_query(http.query_string());
        query.map(web::Query::into_inner).unwrap_or_default()
    }

    /// These parameters; those of `others` where they are missing or empty.
    pub(crate) fn or(self, others: &Self) -> Self {
        let own_or = |own: Option<String>, other: &Option<String>| {
            own.filter(|text| !text.is_empty())
                .or_else(|| other.clone())
        };
        Self {
            expire_in: own_or(self.expire_in, &others.expire_in),
            artifact_type: own_or(self.artifact_type, &others.artifact_type),
            artifact_format: own_or(self.artifact_format, &others.artifact_format),
            token: own_or(self.token, &others.token),
            count: self.count,
        }
    }

    /// The kind of the file; the job's archive by default.
    ///
    /// # Errors
    /// `Invalid` if type and format do not go together.
    pub(crate) fn kind(&self) -> Result<FileKind, FarmError> {
        FileKind::named(
            self.artifact_type.as_deref().unwrap_or_default(),
            self.artifact_format.as_deref().unwrap_or_default(),
        )
    }

    /// The time after which the file expires; `None` if it does not.
    ///
    /// # Errors
    /// `Unreadable` if `expire_in` is not a duration.
    pub(crate) fn expiry(&self) -> Result<Option<TimeDelta>, BadInput> {
        let text = self.expire_in.as_deref();
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        match slipway_domain::expiry::parse(text) {
            Some(expiry) => Ok(expiry.after()),
            None => Err(BadInput::Unreadable(
                "expire_in must be \"never\" or a duration such as \"7 days\" or \"2 hrs 20 min\""
                    .to_owned(),
            )),
        }
    }

    async fn read(&mut self, field: &mut Field) -> Result<(), BadInput> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(too_many_fields());
        }
        let param = match field.name() {
            Some("token") => &mut self.token,
            Some("expire_in") => &mut self.expire_in,
            Some("artifact_type") => &mut self.artifact_type,
            Some("artifact_format") => &mut self.artifact_format,
            _ => return Ok(()),
        };
        *param = Some(short_text(field).await?);
        Ok(())
    }
}

/// Reads the fields before the file, and returns the file unread; `None` if the form has no file.
pub(crate) async fn find_file(
    form: &mut Multipart,
    params: &mut UploadParams,
) -> Result<Option<Field>, BadInput> {
    while let Some(mut field) = form.try_next().await.map_err(bad_form)? {
        // The form is a stream: the fields after the file can be read only after the file.
        if field.name() == Some("file") {
            return Ok(Some(field));
        }
        params.read(&mut field).await?;
    }
    Ok(None)
}

/// Reads the fields after the file.
pub(crate) async fn read_rest(
    form: &mut Multipart,
    params: &mut UploadParams,
) -> Result<(), BadInput> {
    while let Some(mut field) = form.try_next().await.map_err(bad_form)? {
        params.read(&mut field).await?;
    }
    Ok(())
}

/// The form in a body.
pub(crate) fn form(http: &HttpRequest, body: &BodyStream) -> Multipart {
    // A form passes errors of its body on, but has no variants for these.
    let bytes = body.clone().map(|piece| {
        piece.map_err(|error| match error {
            BodyError::Unreadable(error) => error,
            other => PayloadError::Io(std::io::Error::other(other)),
        })
    });
    Multipart::new(http.headers(), bytes)
}

fn bad_form(error: MultipartError) -> BadInput {
    match error {
        MultipartError::Payload(PayloadError::Io(error)) => match error.downcast::<BodyError>() {
            Ok(error) => error.into(),
            Err(error) => BadInput::Unreadable(error.to_string()),
        },
        MultipartError::ContentTypeMissing
        | MultipartError::ContentTypeParse
        | MultipartError::ContentTypeIncompatible => BadInput::NoForm,
        other => BadInput::Unreadable(other.to_string()),
    }
}

async fn short_text(field: &mut Field) -> Result<String, BadInput> {
    let mut text = Vec::new();
    while let Some(chunk) = field.try_next().await.map_err(bad_form)? {
        if text.len() + chunk.len() > MAX_FIELD_BYTES {
            return Err(BadInput::Unreadable(format!(
                "a form field is longer than {MAX_FIELD_BYTES} bytes"
            )));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text)
        .map_err(|_| BadInput::Unreadable("a form field is not UTF-8".to_owned()))
}

/// The name of a file, without directories and without characters that are not safe in a response
/// header or a shell.
pub(crate) fn file_name(field: &Field) -> String {
    let sent = field
        .content_disposition()
        .and_then(|disposition| disposition.get_filename());
    clean_file_name(sent.unwrap_or_default())
}

/// The name of a file as [`file_name`] returns it.
pub(crate) fn clean_file_name(sent: &str) -> String {
    let base = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    // v1 and v3 send the name in a header without quotes, as GitLab does.
    let clean: String = base
        .chars()
        .filter(|c| !c.is_control() && !"\"'`;$%*?<>|&".contains(*c))
        .take(255)
        .collect();
    match clean.trim_matches(['.', ' ']) {
        "" => DEFAULT_FILE_NAME.to_owned(),
        name => name.to_owned(),
    }
}
