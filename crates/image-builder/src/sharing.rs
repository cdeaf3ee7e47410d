//! What jobs of different projects may share on this host: only what the operator chooses.

use slipway_domain::image::is_reference;

use crate::images::archive::full_name;
use crate::images::pull::repository_of;

/// The images of the engine that every job may use without asking a registry for them.
///
/// An engine keeps what it pulled for one job, and offers it to all. All other images are therefore
/// looked up in their registry with the login of the job, even if the engine has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalImages(Vec<LocalImage>);

/// One image, or several with the same beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalImage(String);

impl LocalImages {
    /// Whether every job may use the engine's copy of `image`.
    pub fn contains(&self, image: &str) -> bool {
        let name = with_tag(image);
        self.0.iter().any(|local| match local.0.strip_suffix('*') {
            Some("") => true,
            Some(start) => name.starts_with(&full_name(start)),
            None => name == with_tag(&local.0),
        })
    }

    /// Whether there is no such image.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every image is such an image.
    pub fn is_all(&self) -> bool {
        self.0.iter().any(|local| local.0 == "*")
    }
}

impl FromIterator<LocalImage> for LocalImages {
    fn from_iter<T: IntoIterator<Item = LocalImage>>(images: T) -> Self {
        Self(images.into_iter().collect())
    }
}

impl std::str::FromStr for LocalImage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = text.strip_suffix('*').map(|start| format!("{start}x"));
        if is_reference(whole.as_deref().unwrap_or(text)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "expected the name of an image, such as tools:1, or its beginning with a *"
                    .to_owned(),
            )
        }
    }
}

/// The full name with its tag, which is `latest` by default, or its digest.
pub(crate) fn with_tag(image: &str) -> String {
    let name = full_name(image);
    if name.contains('@') || repository_of(&name) != name {
        name
    } else {
        format!("{name}:latest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_images_are_local() {
        let given = ["tools:1", "busybox", "r.example/base/*", "acme/*"];
        let local: LocalImages = given.iter().map(|name| name.parse().unwrap()).collect();
        for image in [
            "tools:1",
            "docker.io/library/tools:1",
            "busybox",
            "busybox:latest",
            "r.example/base/a:2",
            "docker.io/acme/api",
        ] {
            assert!(local.contains(image), "{image}");
        }
        for image in [
            "tools",
            "tools:2",
            "busybox:1",
            "r.example/tools:1",
            "r.example/based",
            "r.example/acme/api",
        ] {
            assert!(!local.contains(image), "{image}");
        }
        assert!(!local.is_all() && !local.is_empty());
        let all: LocalImages = ["*".parse().unwrap()].into_iter().collect();
        assert!(all.is_all() && all.contains("r.example/a@sha256:12"));
        for bad in ["", "a b", "A", "**", "a*b"] {
            assert!(bad.parse::<LocalImage>().is_err(), "{bad}");
        }
    }
}
