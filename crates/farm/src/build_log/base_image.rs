//! The base image of a build, in the parts that its readers look for.

/// The registry of images that name none.
const USUAL_REGISTRY: &str = "docker.io";
/// Where that registry has images without a namespace.
const USUAL_NAMESPACE: &str = "library";
/// The tag of images that name none.
const USUAL_TAG: &str = "latest";
/// The image that is none, and is not pulled.
const SCRATCH: &str = "scratch";

/// The base image that a build pulls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseImage {
    /// The image with its registry, without its tag.
    pub image: String,
    /// Its tag.
    pub tag: Option<String>,
    /// The registry's host.
    pub registry: Option<String>,
    /// Who pulls it.
    pub username: Option<String>,
}

impl BaseImage {
    /// Reads an image as `FROM` names it. `login` is a registry, and who pulls there.
    pub(crate) fn read(text: &str, login: Option<(&str, &str)>) -> Self {
        if text == SCRATCH {
            return Self {
                image: text.to_owned(),
                tag: None,
                registry: None,
                username: None,
            };
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let tag = tag.or(digest).unwrap_or(USUAL_TAG);
        let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path.to_owned()),
            Some(_) => (USUAL_REGISTRY, name.to_owned()),
            None => (USUAL_REGISTRY, format!("{USUAL_NAMESPACE}/{name}")),
        };
        let own = login.filter(|(at, _)| *at == registry);
        Self {
            image: format!("{registry}/{path}"),
            tag: Some(tag.to_owned()),
            registry: Some(registry.to_owned()),
            username: own.map(|(_, user)| user.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Option<String>, Option<String>, Option<String>) {
        let login = Some(("r.example:5000", "ada+puller"));
        let read = BaseImage::read(text, login);
        (read.image, read.tag, read.registry, read.username)
    }

    fn told(
        image: &str,
        tag: &str,
        registry: &str,
        username: Option<&str>,
    ) -> (String, Option<String>, Option<String>, Option<String>) {
        (
            image.to_owned(),
            Some(tag.to_owned()),
            Some(registry.to_owned()),
            username.map(str::to_owned),
        )
    }

    #[test]
    fn what_an_image_leaves_out_is_told() {
        let busybox = told("docker.io/library/busybox", "latest", "docker.io", None);
        assert_eq!(read("busybox"), busybox);
        let tagged = told("docker.io/acme/base", "v1", "docker.io", None);
        assert_eq!(read("acme/base:v1"), tagged);
        let digest = told("quay.io/a/b", "sha256:ab", "quay.io", None);
        assert_eq!(read("quay.io/a/b@sha256:ab"), digest);
        let local = told("localhost/a", "latest", "localhost", None);
        assert_eq!(read("localhost/a"), local);
    }

    #[test]
    fn a_login_is_for_its_own_registry() {
        let image = "r.example:5000/ada/base";
        let own = told(image, "latest", "r.example:5000", Some("ada+puller"));
        assert_eq!(read(image), own);
        let tagged = told(image, "2", "r.example:5000", Some("ada+puller"));
        assert_eq!(read("r.example:5000/ada/base:2"), tagged);
        assert_eq!(read("r.example/ada/base").3, None);
    }

    #[test]
    fn nothing_is_known_of_no_image() {
        let none = ("scratch".to_owned(), None, None, None);
        assert_eq!(read("scratch"), none);
    }
}
