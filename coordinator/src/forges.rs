//! Options for forges: GitHub, GitLab, Gitea.

use std::path::{Path, PathBuf};

use anyhow::Context;
use slipway_domain::{ProjectPath, ProjectPattern};
use slipway_farm::{AutoCreate, HookSecret, HookSettings, Settings};
use slipway_github::{Github, PUBLIC_API};
use slipway_outbound::Outbound;

/// Options for forges, and for projects that are created from them.
#[derive(Clone, Debug, clap::Args)]
pub struct Forges {
    /// GitHub's API, which resolves branches and receives commit statuses. GitHub Enterprise has it at
    /// https://HOST/api/v3.
    #[arg(long, env = "SLIPWAY_GITHUB_API_URL", default_value = PUBLIC_API)]
    pub github_api_url: String,
    /// The file with the token for that API. Without a token only public repositories are resolved,
    /// and commits get no status.
    #[arg(long, env = "SLIPWAY_GITHUB_TOKEN_FILE")]
    pub github_token_file: Option<PathBuf>,
    /// The file with the secret of GitHub's webhooks, for projects without a secret of their own.
    #[arg(long, env = "SLIPWAY_GITHUB_WEBHOOK_SECRET_FILE")]
    pub github_webhook_secret_file: Option<PathBuf>,
    /// The file with the secret token of GitLab's webhooks, for projects without a secret of their own.
    #[arg(long, env = "SLIPWAY_GITLAB_WEBHOOK_SECRET_FILE")]
    pub gitlab_webhook_secret_file: Option<PathBuf>,
    /// The file with the secret of Gitea's and Forgejo's webhooks, for projects without a secret of
    /// their own.
    #[arg(long, env = "SLIPWAY_GITEA_WEBHOOK_SECRET_FILE")]
    pub gitea_webhook_secret_file: Option<PathBuf>,
    /// Accepts webhooks that are signed with SHA-1 only, as old servers do.
    #[arg(long, env = "SLIPWAY_DANGEROUSLY_ACCEPT_SHA1_WEBHOOKS")]
    pub dangerously_accept_sha1_webhooks: bool,
    /// The link of a commit status: a URL with the placeholders {id}, {repository}, {branch} and {sha}
    /// [default: the build's page below the public URL].
    #[arg(long, env = "SLIPWAY_STATUS_TARGET_URL")]
    pub status_target_url: Option<String>,
    /// Projects that are created with their first build: patterns of owner/name with *, separated by
    /// commas [default: none].
    #[arg(long, env = "SLIPWAY_AUTO_CREATE", value_delimiter = ',')]
    pub auto_create: Vec<ProjectPattern>,
    /// The source of such a project: a URL with the placeholder {repository}.
    #[arg(
        long,
        env = "SLIPWAY_AUTO_CREATE_URL",
        default_value = "https://github.com/{repository}.git"
    )]
    pub auto_create_url: String,
    /// Whether new projects read .slipway.yml from their repositories. Turn it off if this coordinator
    /// cannot reach the git hosts.
    #[arg(long, env = "SLIPWAY_PIPELINES_FROM_REPOSITORY", default_value_t = true,
          action = clap::ArgAction::Set)]
    pub pipelines_from_repository: bool,
}

impl Default for Forges {
    fn default() -> Self {
        Self {
            github_api_url: PUBLIC_API.to_owned(),
            github_token_file: None,
            github_webhook_secret_file: None,
            gitlab_webhook_secret_file: None,
            gitea_webhook_secret_file: None,
            dangerously_accept_sha1_webhooks: false,
            status_target_url: None,
            auto_create: Vec::new(),
            auto_create_url: AutoCreate::default().url,
            pipelines_from_repository: Settings::default().pipelines_from_repository,
        }
    }
}

impl Forges {
    /// Settings with these options, and defaults for all others.
    ///
    /// # Errors
    /// If a file cannot be read or a value is invalid.
    pub(crate) fn settings(&self, outbound: &Outbound) -> anyhow::Result<Settings> {
        let token = self.github_token_file.as_deref().map(secret).transpose()?;
        let github = Github::new(&self.github_api_url, token.as_deref(), outbound)?;
        let auto_create = AutoCreate {
            patterns: self.auto_create.clone(),
            url: self.auto_create_url.clone(),
        };
        let example: ProjectPath = "owner/name".parse()?;
        auto_create
            .source(&example)
            .context("SLIPWAY_AUTO_CREATE_URL")?;
        Ok(Settings {
            auto_create,
            pipelines_from_repository: self.pipelines_from_repository,
            hooks: HookSettings {
                github: hook_secret(self.github_webhook_secret_file.as_deref())?,
                gitlab: hook_secret(self.gitlab_webhook_secret_file.as_deref())?,
                gitea: hook_secret(self.gitea_webhook_secret_file.as_deref())?,
                accept_sha1: self.dangerously_accept_sha1_webhooks,
            },
            github: Some(github),
            status_url: self.status_target_url.clone(),
            ..Settings::default()
        })
    }
}

fn hook_secret(path: Option<&Path>) -> anyhow::Result<Option<HookSecret>> {
    let Some(path) = path else { return Ok(None) };
    let secret = HookSecret::new(&secret(path)?);
    secret
        .map(Some)
        .with_context(|| format!("the secret in {} is not valid", path.display()))
}

/// The text of a file, without white space around it.
fn secret(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let text = text.trim();
    anyhow::ensure!(!text.is_empty(), "{} is empty", path.display());
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use slipway_outbound::NetworkPolicy;

    use super::*;

    fn outbound() -> Outbound {
        Outbound::start(NetworkPolicy::default()).unwrap()
    }

    #[tokio::test]
    async fn defaults_create_no_project_and_accept_no_webhook() {
        let settings = Forges::default().settings(&outbound()).unwrap();
        assert!(settings.auto_create.patterns.is_empty());
        assert!(settings.hooks.github.is_none() && !settings.hooks.accept_sha1);
        assert!(!settings.github.unwrap().has_token());
    }

    #[tokio::test]
    async fn an_invalid_value_is_an_error() {
        let outbound = outbound();
        let wrong = |change: fn(&mut Forges)| {
            let mut forges = Forges::default();
            change(&mut forges);
            assert!(forges.settings(&outbound).is_err(), "{forges:?}");
        };
        wrong(|forges| forges.github_api_url = "api.github.com".to_owned());
        wrong(|forges| forges.auto_create_url = "https://git.example/x.git".to_owned());
        wrong(|forges| forges.github_token_file = Some("/nowhere/token".into()));
        wrong(|forges| forges.gitlab_webhook_secret_file = Some("/dev/null".into()));
    }
}
