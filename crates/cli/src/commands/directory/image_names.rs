//! The image names in `--tag`: where an image is pushed, and its local names.

use anyhow::{Result, bail};

use crate::args::ProjectName;

/// The names of an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ImageNames {
    /// Where the image is pushed, if a name has a registry. Otherwise the project decides.
    pub(super) repository: Option<String>,
    pub(super) tags: Vec<String>,
    /// The names of the image in the local engine.
    pub(super) local: Vec<String>,
}

impl ImageNames {
    /// Reads the names of an image that is not pushed: all of them are local names. An image without
    /// names is named after its project.
    pub(super) fn read_local(typed: &[String], project: &ProjectName) -> Self {
        let whole = |(name, tag): (&str, &str)| format!("{name}:{tag}");
        let mut local: Vec<String> = typed.iter().map(|name| whole(split(name))).collect();
        if local.is_empty() {
            local.push(whole((&project.to_string().to_ascii_lowercase(), "latest")));
        }
        Self {
            local,
            ..Self::default()
        }
    }

    /// Reads names in the format of `docker build`.
    ///
    /// # Errors
    /// If the names contain more than one repository.
    pub(super) fn read(typed: &[String]) -> Result<Self> {
        let split: Vec<(&str, &str)> = typed.iter().map(|name| split(name)).collect();
        let mut with_registry = split.iter().filter(|(name, _)| has_registry(name));
        let repository = with_registry.next().map(|(name, _)| (*name).to_owned());
        if let Some(first) = &repository
            && let Some((other, _)) = with_registry.find(|(name, _)| name != first)
        {
            bail!("an image can be pushed to only one repository, not to {first} and {other}");
        }
        let is_pushed = |name: &str| repository.is_none() || has_registry(name);
        let mut tags = Vec::new();
        for (name, tag) in &split {
            let tag = (*tag).to_owned();
            if is_pushed(name) && !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        Ok(Self {
            tags,
            local: typed.to_vec(),
            repository,
        })
    }
}

/// Splits a name from its tag.
fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        // The colon of `localhost:5000/a` belongs to a port.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (name, "latest"),
    }
}

/// Whether a name starts with a registry.
fn has_registry(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &[&str]) -> Result<(Option<String>, Vec<String>)> {
        let typed: Vec<String> = typed.iter().map(|&name| name.to_owned()).collect();
        let names = ImageNames::read(&typed)?;
        assert_eq!(names.local, typed);
        Ok((names.repository, names.tags))
    }

    #[test]
    fn names_give_tags_and_those_with_a_registry_the_repository() {
        for (typed, repository, tags) in [
            (&[][..], None, &[][..]),
            (&["api"], None, &["latest"]),
            (&["api:v1", "acme/api:v1", "x:v2"], None, &["v1", "v2"]),
            (&["r.example/a"], Some("r.example/a"), &["latest"]),
            (
                &["localhost:5000/a:v1", "api:dev"],
                Some("localhost:5000/a"),
                &["v1"],
            ),
        ] {
            let (found, found_tags) = read(typed).unwrap();
            assert_eq!(found.as_deref(), repository, "{typed:?}");
            assert_eq!(found_tags, tags, "{typed:?}");
        }
        assert!(read(&["r.example/a:1", "r.example/b:1"]).is_err());
    }

    #[test]
    fn names_of_an_image_that_is_not_pushed_are_local() {
        let project: ProjectName = "Acme/api".parse().unwrap();
        let read = |typed: &[&str]| {
            let typed: Vec<String> = typed.iter().map(|&name| name.to_owned()).collect();
            let names = ImageNames::read_local(&typed, &project);
            assert_eq!((names.repository, names.tags.len()), (None, 0));
            names.local
        };
        assert_eq!(read(&[]), ["acme/api:latest"]);
        let several = ["api", "r.example:5000/a", "s.example/b:v1"];
        let tagged = ["api:latest", "r.example:5000/a:latest", "s.example/b:v1"];
        assert_eq!(read(&several), tagged);
    }
}
