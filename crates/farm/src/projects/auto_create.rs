//! Which projects are made on first use, and where their sources are.

use slipway_domain::{ProjectPath, ProjectPattern};

use crate::error::FarmError;
use crate::projects::repo_url::check_repo_url;

/// What stands for `owner/name` in the address of a project that is made on first use.
const REPOSITORY: &str = "{repository}";

/// Which projects are made when somebody asks for the first build of them.
#[derive(Clone, Debug)]
pub struct AutoCreate {
    /// Those whose path is of one of these patterns; none when there are none.
    pub patterns: Vec<ProjectPattern>,
    /// Where the source of such a project is: a URL with `{repository}` in it.
    pub url: String,
}

impl Default for AutoCreate {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            url: format!("https://github.com/{REPOSITORY}.git"),
        }
    }
}

impl AutoCreate {
    /// Whether the policy lets a project be made.
    pub(crate) fn allows(&self, path: &ProjectPath) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(path))
    }

    /// Where the source of a project is.
    ///
    /// # Errors
    /// `Invalid` when the template does not make an address that git may be sent to.
    pub fn source(&self, path: &ProjectPath) -> Result<String, FarmError> {
        let url = self.url.replace(REPOSITORY, &path.to_string());
        if url == self.url {
            let why = format!("the URL of projects that are made on first use needs {REPOSITORY}");
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
    fn the_source_of_an_unmet_project_follows_from_its_path() {
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
