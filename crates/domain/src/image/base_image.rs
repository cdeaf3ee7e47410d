//! The base image of a build, as its runner tells of it and as it is kept.

use std::fmt;
use std::str::FromStr;

use crate::image::reference::{is_reference, registry_of};
use crate::names::Invalid;

/// The longest user name that is kept, in bytes.
const MAX_USERNAME: usize = 255;
/// The name in a Dockerfile that stands for no image at all.
const NOTHING: &str = "scratch";

/// The first base image of a build, and who pulls it. As a text it is the image's name, and then,
/// after a blank, the user name where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseImage {
    image: String,
    username: Option<String>,
}

impl BaseImage {
    /// Checks the name of an image as `FROM` has it, and a user name.
    ///
    /// # Errors
    /// When one of the two cannot be.
    pub fn new(image: &str, username: Option<&str>) -> Result<Self, Invalid> {
        if !is_reference(image) {
            return Err(Invalid::new("base image", image, "the name of an image"));
        }
        let username = username.filter(|name| !name.is_empty());
        let is_odd = |name: &str| name.len() > MAX_USERNAME || name.contains(char::is_control);
        if let Some(name) = username.filter(|name| is_odd(name)) {
            return Err(Invalid::new("user name", name, "a line of up to 255 bytes"));
        }
        Ok(Self {
            image: image.to_owned(),
            username: username.map(str::to_owned),
        })
    }

    /// The image as `FROM` has it.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The image with its registry as far as it is named, without tag and digest.
    pub fn repository(&self) -> &str {
        self.parts().0
    }

    /// The tag: `latest` when neither a tag nor a digest is named, and none of nothing.
    pub fn tag(&self) -> Option<&str> {
        match self.parts() {
            (NOTHING, None) => None,
            (_, None) if !self.image.contains('@') => Some("latest"),
            (_, tag) => tag,
        }
    }

    /// The registry's host, with its port where one is named.
    pub fn registry(&self) -> Option<&str> {
        (self.image != NOTHING).then(|| registry_of(&self.image))
    }

    /// Who pulls it, unless nobody has to say.
    pub fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    fn parts(&self) -> (&str, Option<&str>) {
        let name = self.image.split('@').next().unwrap_or_default();
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
    fn a_base_image_is_kept_and_taken_apart() {
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
    fn what_is_no_image_is_not_kept() {
        for (image, username) in [("A b", None), ("", None), ("a", Some("x\ny"))] {
            assert!(BaseImage::new(image, username).is_err(), "{image}");
        }
        assert!(BaseImage::new("a", Some("")).unwrap().username().is_none());
    }
}
