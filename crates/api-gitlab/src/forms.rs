//! Uploads: a form with one file, which is read as it comes.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde::Deserialize;
use slipway_farm::{FarmError, FileKind};

use crate::bad_input::BadInput;

/// The longest value of a form field that is not the file.
const MAX_FIELD: usize = 4096;
/// How much of a refused upload is read: more than that is not a client that means well.
const MAX_DRAIN: u64 = 4 << 30;
/// What a file is called whose sender gave it no name.
const DEFAULT_NAME: &str = "artifacts.zip";

/// The parameters of an upload, from the query or from fields of the form.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UploadParams {
    expire_in: Option<String>,
    artifact_type: Option<String>,
    artifact_format: Option<String>,
    /// The token of the form, which counts only before the file: nobody's bytes are stored unasked.
    #[serde(skip)]
    pub(crate) token: Option<String>,
}

impl UploadParams {
    /// Those of the query. A token there is looked for where all requests have it.
    pub(crate) fn of_query(http: &HttpRequest) -> Self {
        let query = web::Query::<Self>::from_query(http.query_string());
        query.map(web::Query::into_inner).unwrap_or_default()
    }

    /// These, and `others` where there is none.
    pub(crate) fn or(self, others: &Self) -> Self {
        let either = |own: Option<String>, other: &Option<String>| {
            own.filter(|text| !text.is_empty())
                .or_else(|| other.clone())
        };
        Self {
            expire_in: either(self.expire_in, &others.expire_in),
            artifact_type: either(self.artifact_type, &others.artifact_type),
            artifact_format: either(self.artifact_format, &others.artifact_format),
            token: either(self.token, &others.token),
        }
    }

    /// What the file is; the job's archive, unless it is said.
    pub(crate) fn kind(&self) -> Result<FileKind, FarmError> {
        FileKind::named(
            self.artifact_type.as_deref().unwrap_or_default(),
            self.artifact_format.as_deref().unwrap_or_default(),
        )
    }

    /// How long it is kept, if not for ever.
    pub(crate) fn keep(&self) -> Result<Option<TimeDelta>, BadInput> {
        let text = self.expire_in.as_deref();
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            return Ok(None);
        };
        match slipway_domain::expiry::parse(text) {
            Some(duration) => Ok(Some(duration)),
            None => Err(BadInput::Unreadable(
                "expire_in is not a duration such as \"7 days\" or \"2 hrs 20 min\"".to_owned(),
            )),
        }
    }

    async fn read(&mut self, field: &mut Field) -> Result<(), BadInput> {
        let place = match field.name() {
            Some("token") => &mut self.token,
            Some("expire_in") => &mut self.expire_in,
            Some("artifact_type") => &mut self.artifact_type,
            Some("artifact_format") => &mut self.artifact_format,
            _ => return Ok(()),
        };
        *place = Some(short_text(field).await?);
        Ok(())
    }
}

/// The body of a request, shared by the form that is read from it and whoever reads what the form
/// left of it.
#[derive(Clone)]
pub(crate) struct SharedBody(Rc<RefCell<Payload>>);

impl Stream for SharedBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(cx)
    }
}

impl SharedBody {
    /// The body that is read from `payload`.
    pub(crate) fn of(payload: Payload) -> Self {
        Self(Rc::new(RefCell::new(payload)))
    }

    /// Throws away what is left of it, up to [`MAX_DRAIN`].
    pub(crate) async fn drain(&mut self) {
        let mut drained = 0;
        while drained < MAX_DRAIN
            && let Some(Ok(bytes)) = self.next().await
        {
            drained += bytes.len() as u64;
        }
    }
}

/// Reads the form up to the file, which the caller reads.
pub(crate) async fn find_file(
    form: &mut Multipart,
    params: &mut UploadParams,
) -> Result<Option<Field>, BadInput> {
    while let Some(mut field) = form.try_next().await.map_err(bad_form)? {
        if field.name() == Some("file") {
            return Ok(Some(field));
        }
        params.read(&mut field).await?;
    }
    Ok(None)
}

/// Reads what follows the file.
pub(crate) async fn read_rest(
    form: &mut Multipart,
    params: &mut UploadParams,
) -> Result<(), BadInput> {
    while let Some(mut field) = form.try_next().await.map_err(bad_form)? {
        params.read(&mut field).await?;
    }
    Ok(())
}

fn bad_form(error: MultipartError) -> BadInput {
    match error {
        MultipartError::ContentTypeMissing
        | MultipartError::ContentTypeParse
        | MultipartError::ContentTypeIncompatible => BadInput::NoForm,
        other => BadInput::Unreadable(other.to_string()),
    }
}

async fn short_text(field: &mut Field) -> Result<String, BadInput> {
    let mut text = Vec::new();
    while let Some(chunk) = field.try_next().await.map_err(bad_form)? {
        if text.len() + chunk.len() > MAX_FIELD {
            return Err(BadInput::Unreadable(format!(
                "a field is longer than {MAX_FIELD} bytes"
            )));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).map_err(|_| BadInput::Unreadable("a field is not UTF-8".to_owned()))
}

/// The name the sender gave, without directories and without what a header could not carry.
pub(crate) fn file_name(field: &Field) -> String {
    let given = field
        .content_disposition()
        .and_then(|disposition| disposition.get_filename());
    let base = given
        .unwrap_or_default()
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or_default();
    let clean: String = base
        .chars()
        .filter(|c| !c.is_control() && !"\"'`;$%*?<>|&".contains(*c))
        .take(255)
        .collect();
    match clean.trim_matches(['.', ' ']) {
        "" => DEFAULT_NAME.to_owned(),
        name => name.to_owned(),
    }
}
