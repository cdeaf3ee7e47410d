//! What `--tag` names: where an image is pushed, and what it is called on this machine.

use anyhow::{Result, bail};

use crate::args::ProjectName;

/// The names of an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Where it is pushed, if a name has a registry; else the project says.
    pub(super) repository: Option<String>,
    /// The tags that are pushed.
    pub(super) tags: Vec<String>,
    /// What it is called here.
    pub(super) local: Vec<String>,
}

impl Names {
    /// Reads names of an image that is pushed nowhere: whatever they are, they are names here. One
    /// without a name is called like its project.
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

    /// Reads names as `docker build` takes them.
    ///
    /// # Errors
    /// When they lead to more than one repository.
    pub(super) fn read(typed: &[String]) -> Result<Self> {
        let split: Vec<(&str, &str)> = typed.iter().map(|name| split(name)).collect();
        let mut away = split.iter().filter(|(name, _)| has_registry(name));
        let repository = away.next().map(|(name, _)| (*name).to_owned());
        if let Some(first) = &repository
            && let Some((other, _)) = away.find(|(name, _)| name != first)
        {
            bail!("an image is pushed to one repository, and not to {first} and {other}");
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

/// Name and tag.
fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (name, "latest"),
    }
}

/// Whether a name begins with a registry.
fn has_registry(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &[&str]) -> Result<(Option<String>, Vec<String>)> {
        let typed: Vec<String> = typed.iter().map(|&name| name.to_owned()).collect();
        let names = Names::read(&typed)?;
        assert_eq!(names.local, typed);
        Ok((names.repository, names.tags))
    }

    #[test]
    fn a_name_gives_a_tag_and_one_with_a_registry_a_repository() {
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
    fn a_name_that_is_not_pushed_is_a_name_here() {
        let project: ProjectName = "Acme/api".parse().unwrap();
        let read = |typed: &[&str]| {
            let typed: Vec<String> = typed.iter().map(|&name| name.to_owned()).collect();
            let names = Names::read_local(&typed, &project);
            assert_eq!((names.repository, names.tags.len()), (None, 0));
            names.local
        };
        assert_eq!(read(&[]), ["acme/api:latest"]);
        let several = ["api", "r.example:5000/a", "s.example/b:v1"];
        let tagged = ["api:latest", "r.example:5000/a:latest", "s.example/b:v1"];
        assert_eq!(read(&several), tagged);
    }
}
