//! The secrets of a build, and the SSH agent with its key.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use slipway_ssh_agent::{AgentError, SshAgent};

use crate::error::BuildError;
use crate::request::BuildRequest;

/// How long an agent keeps its key at most: a week, the longest that a job may run.
const KEY_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The secrets that a spec names, with their values.
pub(crate) struct BuildSecrets {
    /// The values by the ids that steps use.
    pub(crate) values: BTreeMap<String, String>,
    ssh_key: Option<SshKey>,
}

/// A private key.
struct SshKey {
    /// The name of the variable with the key.
    variable: String,
    key: String,
}

impl BuildSecrets {
    /// Looks up the secrets and the SSH key of the spec in the variables of the job.
    ///
    /// # Errors
    /// `SecretMissing` and `SshKeyMissing` if a variable is not set.
    pub(crate) fn resolve(request: &BuildRequest) -> Result<Self, BuildError> {
        let (spec, variables) = (&request.spec, &request.variables);
        // A missing variable fails the build here, before the engine does any work.
        let mut values = BTreeMap::new();
        for (id, variable) in &spec.secrets {
            let value = variables.get(variable);
            let value = value.ok_or_else(|| BuildError::SecretMissing {
                id: id.clone(),
                variable: variable.clone(),
            })?;
            values.insert(id.clone(), value.to_owned());
        }
        let ssh_key = match &spec.ssh {
            Some(variable) => {
                let key = variables.get(variable);
                let key = key.ok_or_else(|| BuildError::SshKeyMissing {
                    variable: variable.clone(),
                })?;
                Some(SshKey {
                    variable: variable.clone(),
                    key: key.to_owned(),
                })
            }
            None => None,
        };
        Ok(Self { values, ssh_key })
    }

    /// Starts an agent with the key of the build, if it has one. Steps can use the key through the
    /// agent but cannot read it.
    ///
    /// # Errors
    /// `SshUnavailable` if the agent cannot be started, `SshKeyInvalid` if it rejects the key.
    pub(crate) async fn start_agent(&self, scratch: &Path) -> Result<Option<SshAgent>, BuildError> {
        let Some(SshKey { variable, key }) = &self.ssh_key else {
            return Ok(None);
        };
        let started = SshAgent::start(scratch, key, KEY_LIFETIME).await;
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
