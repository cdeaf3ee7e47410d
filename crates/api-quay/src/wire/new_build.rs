//! Bodies: read as JSON, and checked field by field in the order in which clients are told.

use std::collections::HashSet;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde_json::{Map, Value};
use slipway_domain::package::{PackageLocation, sanitize_tag, stored_location};
use slipway_http::{is_json, media_type, read_body};

use crate::error::QuayError;

/// The largest body of JSON that is read, in bytes.
const MAX_JSON: usize = 1 << 20;
/// The tag of a build that names none.
const USUAL_TAG: &str = "latest";

/// The members of a JSON object. What is not asked for is ignored.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is not said to be JSON, is no JSON, or no object.
    pub(crate) async fn read(
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<Self, QuayError> {
        if !media_type(request.headers()).is_some_and(|kind| is_json(&kind)) {
            return Err(QuayError::NotJson);
        }
        let bytes = read_body(payload, MAX_JSON).await?;
        match serde_json::from_slice(&bytes).map_err(|_| QuayError::Unreadable)? {
            Value::Object(fields) => Ok(Self(fields)),
            Value::Null => Err(QuayError::invalid("Missing JSON body")),
            _ => Err(QuayError::invalid("the body is not an object")),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, QuayError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(QuayError::invalid(format!("{name} is not a string"))),
        }
    }

    /// A list of texts, of which there is at least one and none twice.
    fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, QuayError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        let items = value.as_array().filter(|items| !items.is_empty());
        let texts = items.and_then(|items| items.iter().map(Value::as_str).collect());
        let texts: Vec<&str> = texts.ok_or_else(|| {
            QuayError::invalid(format!("{name} is not a list of at least one string"))
        })?;
        let different: HashSet<&str> = texts.iter().copied().collect();
        if different.len() < texts.len() {
            return Err(QuayError::invalid(format!(
                "{name} has the same item twice"
            )));
        }
        Ok(Some(texts))
    }

    /// The kind of a file that is to be uploaded.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn mime_type(&self) -> Result<&str, QuayError> {
        let kind = self.text("mimeType")?;
        kind.ok_or_else(|| QuayError::invalid("mimeType is required"))
    }
}

/// What a build is asked for with.
#[derive(Debug)]
pub(crate) struct Order {
    /// The file, as its sender names it.
    pub(crate) file: Option<String>,
    /// The address of the package.
    pub(crate) url: Option<String>,
    /// Where in the package the Dockerfile and the context are.
    pub(crate) location: PackageLocation,
    /// The tags that the image gets.
    pub(crate) tags: Vec<String>,
    /// The robot whose password base images are pulled with.
    pub(crate) robot: Option<String>,
}

impl TryFrom<Fields> for Order {
    type Error = QuayError;

    fn try_from(fields: Fields) -> Result<Self, QuayError> {
        let not_empty =
            |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let file = not_empty(fields.text("file_id")?);
        let url = not_empty(fields.text("archive_url")?);
        let location = stored_location(
            fields.text("dockerfile_path")?,
            fields.text("subdirectory")?,
            fields.text("context")?,
        );
        let robot = not_empty(fields.text("pull_robot")?);
        let (tags, also) = (fields.texts("docker_tags")?, fields.texts("tags")?);
        let tags = tags.or(also).unwrap_or_else(|| vec![USUAL_TAG]);
        if file.is_none() && url.is_none() {
            return Err(QuayError::invalid("file_id or archive_url required"));
        }
        if let Some(url) = &url {
            check_url(url)?;
        }
        Ok(Self {
            file,
            url,
            location,
            tags: tags.into_iter().map(sanitize_tag).collect(),
            robot,
        })
    }
}

/// Checks an address as far as clients are told about it; what else is wrong with it shows in the
/// build.
fn check_url(url: &str) -> Result<(), QuayError> {
    let authority = url.split_once("//").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('[') != authority.contains(']') {
        let why = "Invalid Archive URL: Must be a valid URI";
        return Err(QuayError::invalid(why));
    }
    let scheme = url.split_once(':').map(|(scheme, _)| scheme);
    let accepted =
        |scheme: &str| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    if !scheme.is_some_and(accepted) {
        let why = "Invalid Archive URL: Must be http or https";
        return Err(QuayError::invalid(why));
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "Invalid Archive URL: Must be ASCII, with everything else encoded";
        return Err(QuayError::invalid(why));
    }
    Ok(())
}

impl FromRequest for Fields {
    type Error = QuayError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self, QuayError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = web::Payload::from_request(&request, payload).into_inner();
        Box::pin(async move {
            let payload = payload.map_err(|_| QuayError::Unreadable)?;
            Self::read(&request, payload).await
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(body: Value) -> Result<Order, QuayError> {
        match body {
            Value::Object(fields) => Order::try_from(Fields(fields)),
            _ => unreachable!("the tests give objects"),
        }
    }

    #[test]
    fn an_order_needs_a_source_that_may_be_one() {
        for bad in [
            json!({}),
            json!({"archive_url": "", "file_id": ""}),
            json!({"archive_url": 5}),
            json!({"file_id": null}),
            json!({"archive_url": "foobarbaz"}),
            json!({"archive_url": "ftp://x/y"}),
            json!({"archive_url": "http://[::1"}),
            json!({"archive_url": "https://x/é.tgz"}),
            json!({"archive_url": "https://x", "context": null}),
        ] {
            assert!(order(bad.clone()).is_err(), "{bad}");
        }
        for good in ["HTTP://X/y", "http://[::1]/a", "https:", "http://x/?q=[a"] {
            assert!(order(json!({"archive_url": good})).is_ok(), "{good}");
        }
    }

    #[test]
    fn tags_have_two_names_and_are_made_to_fit() {
        let tags = |more: Value| {
            let mut body = json!({"archive_url": "https://x"});
            if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
                body.extend(more);
            }
            order(body).map(|order| order.tags)
        };
        assert_eq!(tags(json!({})).unwrap(), ["latest"]);
        assert_eq!(tags(json!({"tags": ["v 1"]})).unwrap(), ["v_1"]);
        let both = json!({"tags": ["b"], "docker_tags": ["a", ""]});
        assert_eq!(tags(both).unwrap(), ["a", "latest"]);
        for bad in [
            json!([]),
            json!(["a", "a"]),
            json!("a"),
            json!(null),
            json!([1]),
        ] {
            assert!(tags(json!({"docker_tags": bad.clone()})).is_err(), "{bad}");
            assert!(
                tags(json!({"tags": bad.clone(), "docker_tags": ["a"]})).is_err(),
                "{bad}"
            );
        }
    }
}
