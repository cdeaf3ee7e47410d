//! What a build may use and nobody may see: its secrets, and the key for its SSH agent.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use slipway_ssh_agent::{AgentError, SshAgent};

use crate::builder::{Backend, Builder};
use crate::error::BuildError;
use crate::request::BuildRequest;

/// The longest that a job may take: a week.
const LONGEST: Duration = Duration::from_secs(604_800);

/// The secrets of a build, with their values.
pub(crate) struct Given {
    /// The values, by what steps call them.
    pub(crate) secrets: BTreeMap<String, String>,
    /// The variable with the private key, and the key.
    pub(crate) key: Option<(String, String)>,
}

impl Given {
    /// Finds what the spec names among the variables of the job.
    ///
    /// # Errors
    /// `SecretMissing` and `SshKeyMissing` for a variable that is not there.
    pub(crate) fn find(request: &BuildRequest) -> Result<Self, BuildError> {
        let (spec, variables) = (&request.spec, &request.variables);
        let secrets = spec.secrets.iter().map(|(id, variable)| {
            let value = variables.get(variable);
            let value = value.ok_or_else(|| BuildError::SecretMissing {
                id: id.clone(),
                variable: variable.clone(),
            });
            Ok((id.clone(), value?.to_owned()))
        });
        let key = spec.ssh.as_ref().map(|variable| {
            let key = variables.get(variable);
            let key = key.ok_or_else(|| BuildError::SshKeyMissing {
                variable: variable.clone(),
            });
            Ok::<_, BuildError>((variable.clone(), key?.to_owned()))
        });
        Ok(Self {
            secrets: secrets.collect::<Result<_, BuildError>>()?,
            key: key.transpose()?,
        })
    }

    /// An agent with the key, for a build that has one: its steps use the key without having it.
    ///
    /// # Errors
    /// `SshUnavailable` without an agent on this host, `SshKeyInvalid` for a key that it does not take.
    pub(crate) async fn agent(&self, scratch: &Path) -> Result<Option<SshAgent>, BuildError> {
        let Some((variable, key)) = &self.key else {
            return Ok(None);
        };
        let started = SshAgent::start(scratch, key, LONGEST).await;
        let agent = started.map_err(|error| match error {
            AgentError::RefusedKey => BuildError::SshKeyInvalid {
                variable: variable.clone(),
            },
            AgentError::Unavailable(detail) => BuildError::SshUnavailable { detail },
            AgentError::Io(error) => BuildError::SshUnavailable {
                detail: error.to_string(),
            },
        });
        agent.map(Some)
    }
}

impl Builder {
    /// Refuses what the first builder cannot do.
    pub(crate) fn check_backend(&self, request: &BuildRequest) -> Result<(), BuildError> {
        let spec = &request.spec;
        let platform = spec.platforms.first();
        let wanted = match self.backend() {
            Backend::BuildKit => None,
            Backend::Classic if !spec.secrets.is_empty() => Some("secrets"),
            Backend::Classic if spec.ssh.is_some() => Some("SSH keys"),
            Backend::Classic if platform.is_some() && platform != self.platform() => {
                Some("images for other platforms")
            }
            Backend::Classic => None,
        };
        wanted.map_or(Ok(()), |wanted| Err(BuildError::NeedsBuildKit { wanted }))
    }
}
