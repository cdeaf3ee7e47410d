//! Which projects are created on first use, and where their repositories are.

use slipway_domain::{ProjectPath, ProjectPattern};

use crate::error::FarmError;
use crate::projects::repo_url::check_repo_url;

/// The placeholder for `owner/name` in the URL template.
const PLACEHOLDER: &str = "{repository}";

/// Which projects are created when their first build is requested.
#[derive(Clone, Debug)]
pub struct AutoCreate {
    /// Projects whose path matches one of these patterns.
    pub patterns: Vec<ProjectPattern>,
    /// The URL of the repository of such a project, with the placeholder `{repository}`.
    pub url: String,
}

impl Default for AutoCreate {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            url: format!("https://github.com/{PLACEHOLDER}.git"),
        }
    }
}

impl AutoCreate {
    /// Whether a project may be created.
    pub(crate) fn allows(&self, path: &ProjectPath) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(path))
    }

    /// The URL of the repository of a project.
    ///
    /// # Errors
    /// `Invalid` when the template has no placeholder or does not yield a URL that git may clone.
    pub fn source(&self, path: &ProjectPath) -> Result<String, FarmError> {
        let url = self.url.replace(PLACEHOLDER, &path.to_string());
        if url == self.url {
            let why = format!(
                "the URL of projects that are created on first use must contain {PLACEHOLDER}"
            );
            return Err(FarmError::Invalid(why));
        }
        check_repo_url(&url)?;
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_url_is_made_from_the_path_of_the_project() {
        let path: ProjectPath = "acme/api".parse().unwrap();
        let source = |url: &str| {
            let policy = AutoCreate {
                url: url.to_owned(),
                ..AutoCreate::default()
            };
            policy.source(&path).ok()
        };
        assert_eq!(
            AutoCreate::default().source(&path).unwrap(),
            "https://github.com/acme/api.git"
        );
        assert_eq!(source("https://git.example/all.git"), None);
        assert_eq!(source("file:///srv/{repository}"), None);
    }
}
