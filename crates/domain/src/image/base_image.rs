//! The base image of a build, as its runner reports it and as it is stored.

use std::fmt;
use std::str::FromStr;

use crate::image::reference::{is_reference, registry_of};
use crate::names::Invalid;

/// The maximum length of a user name, in bytes.
const MAX_USERNAME: usize = 255;
/// The name in a Dockerfile that stands for no base image.
const SCRATCH: &str = "scratch";

/// The first base image of a build, and the user who pulls it.
///
/// Its stored form is the image's name, followed by a space and the user name if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseImage {
    image: String,
    username: Option<String>,
}

impl BaseImage {
    /// Checks an image as written in `FROM`, and a user name. An empty user name counts as none.
    ///
    /// # Errors
    /// `Invalid` if the image is not a valid reference or the user name is too long or has control
    /// characters.
    pub fn new(image: &str, username: Option<&str>) -> Result<Self, Invalid> {
        if !is_reference(image) {
            return Err(Invalid::new(
                "base image",
                image,
                "an image reference such as alpine:3.20",
            ));
        }
        // An empty name means an anonymous pull.
        let username = username.filter(|name| !name.is_empty());
        let is_invalid = |name: &str| name.len() > MAX_USERNAME || name.contains(char::is_control);
        if let Some(name) = username.filter(|name| is_invalid(name)) {
            return Err(Invalid::new(
                "user name",
                name,
                "at most 255 bytes without control characters",
            ));
        }
        Ok(Self {
            image: image.to_owned(),
            username: username.map(str::to_owned),
        })
    }

    /// The image as written in `FROM`.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The image without tag and digest; with its registry if the name has one.
    pub fn repository(&self) -> &str {
        self.parts().0
    }

    /// The tag; `latest` if the name has neither tag nor digest, and `None` for `scratch`.
    pub fn tag(&self) -> Option<&str> {
        match self.parts() {
            (SCRATCH, None) => None,
            // A digest pins the image; the default tag only applies without one.
            (_, None) if !self.image.contains('@') => Some("latest"),
            (_, tag) => tag,
        }
    }

    /// The registry's host, with its port if there is one; `None` for `scratch`.
    pub fn registry(&self) -> Option<&str> {
        (self.image != SCRATCH).then(|| registry_of(&self.image))
    }

    /// The user who pulls the image; `None` if it is pulled anonymously.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    fn parts(&self) -> (&str, Option<&str>) {
        let name = self.image.split('@').next().unwrap_or_default();
        // A colon before a slash belongs to the registry's port.
        match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        }
    }
}

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.username {
            Some(username) => write!(f, "{} {username}", self.image),
            None => f.write_str(&self.image),
        }
    }
}

impl FromStr for BaseImage {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // An image reference has no spaces, so the first space separates the user name.
        match text.split_once(' ') {
            Some((image, username)) => Self::new(image, Some(username)),
            None => Self::new(text, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_image_round_trips_and_splits_into_its_parts() {
        let digest = format!("a@sha256:{}", "0a".repeat(32));
        for (text, repository, tag, registry, username) in [
            ("scratch", "scratch", None, None, None),
            ("alpine", "alpine", Some("latest"), Some("docker.io"), None),
            ("acme/a:1", "acme/a", Some("1"), Some("docker.io"), None),
            (digest.as_str(), "a", None, Some("docker.io"), None),
            (
                "r.example:5000/a/b:1 acme+puller one",
                "r.example:5000/a/b",
                Some("1"),
                Some("r.example:5000"),
                Some("acme+puller one"),
            ),
        ] {
            let base: BaseImage = text.parse().unwrap();
            let found = (
                base.repository(),
                base.tag(),
                base.registry(),
                base.username(),
            );
            assert_eq!(found, (repository, tag, registry, username));
            assert_eq!(base.to_string(), text);
        }
    }

    #[test]
    fn an_invalid_image_or_user_name_is_refused() {
        for (image, username) in [("A b", None), ("", None), ("a", Some("x\ny"))] {
            assert!(BaseImage::new(image, username).is_err(), "{image}");
        }
        assert!(BaseImage::new("a", Some("")).unwrap().username().is_none());
    }
}
