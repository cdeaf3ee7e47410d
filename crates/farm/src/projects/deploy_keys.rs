//! Credentials for the repository of a project: a deploy key for SSH, or a deploy token for HTTP.
//!
//! The secret half is sealed and never shown. It is bound to the server that the repository was on
//! when it was set and is sent to no other, so that changing the URL of the repository does not
//! reveal it.

use chrono::{DateTime, Utc};
use slipway_domain::Role;
use slipway_domain::{ProjectId, ProjectPath};
use slipway_git::{GitError, RemoteUrl};
use slipway_store::deploy_keys::{self, DeployKey};
use slipway_store::projects::Project;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{Algorithm, HashAlg, KnownHosts, LineEnding, PrivateKey, PublicKey};
use url::Url;

use crate::access::authorize::ProjectAccess;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::repo_url::check_repo_url;
use crate::projects::secret_checks::{check_user_name, check_value};

/// A credential to set. It has no `Debug`, so that it cannot be logged.
pub enum NewDeployKey {
    /// A private key in OpenSSH format, without a passphrase.
    Given {
        private_key: String,
        /// The only accepted host keys.
        known_hosts: Option<String>,
    },
    /// A key that the farm generates.
    Fresh {
        /// The only accepted host keys.
        known_hosts: Option<String>,
    },
    /// A user name with a password or token.
    Token { username: String, password: String },
}

/// The credential of a project's repository without its secret half.
#[derive(Clone, Debug)]
pub struct DeployKeyDetails {
    /// The server that the credential is sent to.
    pub server: String,
    /// The public half of a deploy key.
    pub public_key: Option<String>,
    pub fingerprint: Option<String>,
    /// The only accepted host keys.
    pub known_hosts: Option<String>,
    /// The user name of a deploy token.
    pub username: Option<String>,
    pub created_at: DateTime<Utc>,
}

impl From<DeployKey> for DeployKeyDetails {
    fn from(key: DeployKey) -> Self {
        let public = key.public_key.as_deref().map(PublicKey::from_openssh);
        let fingerprint = public.and_then(Result::ok);
        Self {
            fingerprint: fingerprint.map(|key| key.fingerprint(HashAlg::Sha256).to_string()),
            server: key.server,
            public_key: key.public_key,
            known_hosts: key.known_hosts,
            username: key.username,
            created_at: key.created_at,
        }
    }
}

/// How a job fetches its commit. It has no `Debug`, so that it cannot be logged.
pub struct JobRepository {
    /// The URL, with the deploy token in it if there is one.
    pub url: String,
    /// The private deploy key, with the accepted host keys.
    pub key: Option<(String, Option<String>)>,
}

/// The user name is part of the context, so that a password cannot be used with another one.
fn context(project: ProjectId, key: &DeployKey) -> String {
    let username = key.username.as_deref().unwrap_or_default();
    format!("deploy-key:{project}:{}:{username}", key.server)
}

impl Farm {
    /// The credential of a project's repository. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when none is set.
    pub async fn deploy_key(&self, access: &ProjectAccess) -> Result<DeployKeyDetails, FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let get = move |conn: &mut _| deploy_keys::get(conn, project);
        let key = self.read(get).await?;
        let key = key.ok_or(FarmError::NotFound("deploy key"))?;
        Ok(key.into())
    }

    /// Sets the credential of a project's repository and replaces an earlier one. Requires a
    /// maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an invalid key, a key with a passphrase, invalid known hosts, and a
    /// credential that does not match the protocol of the URL.
    pub async fn set_deploy_key(
        &self,
        access: &ProjectAccess,
        new: NewDeployKey,
    ) -> Result<DeployKeyDetails, FarmError> {
        access.require(Role::Maintainer)?;
        let url: Result<RemoteUrl, GitError> = access.project().repo_url.parse();
        let url = url.map_err(|error| FarmError::Invalid(error.to_string()))?;
        let mut key = DeployKey {
            server: url.server().to_owned(),
            public_key: None,
            known_hosts: None,
            username: None,
            sealed: String::new(),
            created_at: self.now(),
        };
        let is_token = matches!(new, NewDeployKey::Token { .. });
        check_protocol(&url, is_token)?;
        let secret = match new {
            NewDeployKey::Token { username, password } => {
                check_user_name(&username)?;
                check_value("password", &password)?;
                key.username = Some(username);
                password
            }
            NewDeployKey::Given {
                private_key,
                known_hosts,
            } => {
                let read = read_key(&private_key)?;
                key.known_hosts = read_known_hosts(known_hosts)?;
                key.public_key = Some(public_half(&read)?);
                private_half(&read)?
            }
            NewDeployKey::Fresh { known_hosts } => {
                key.known_hosts = read_known_hosts(known_hosts)?;
                let pair = Ed25519Keypair::from_seed(&self.inner.chance.bytes());
                let comment = format!("slipway:{}", access.project().path());
                let fresh = PrivateKey::new(pair.into(), comment).map_err(unwritable)?;
                key.public_key = Some(public_half(&fresh)?);
                private_half(&fresh)?
            }
        };
        let project = access.id();
        let nonce = self.inner.chance.bytes();
        key.sealed = (self.inner.seal).seal(&context(project, &key), &secret, nonce);
        let row = key.clone();
        let put = move |conn: &mut _| deploy_keys::put(conn, project, &row);
        self.write(put).await?;
        Ok(key.into())
    }

    /// Deletes the credential of a project's repository. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when none is set.
    pub async fn delete_deploy_key(&self, access: &ProjectAccess) -> Result<(), FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let remove = move |conn: &mut _| deploy_keys::delete(conn, project);
        self.write(remove).await
    }

    /// The URL of a project's repository with its credential, or with the keys of the host if the
    /// operator allows that for the project.
    pub(crate) async fn with_deploy_key(
        &self,
        project: &Project,
        url: RemoteUrl,
    ) -> Result<RemoteUrl, FarmError> {
        let id = project.id;
        let get = move |conn: &mut _| deploy_keys::get(conn, id);
        let path: Result<ProjectPath, _> = project.path().parse();
        let mut host_keys = self.inner.settings.host_ssh_keys.iter();
        let url = match path {
            Ok(path) if host_keys.any(|pattern| pattern.matches(&path)) => url.with_host_keys(),
            Ok(_) | Err(_) => url,
        };
        let Some(key) = self.read(get).await? else {
            return Ok(url);
        };
        // The URL may have been changed by somebody who must not learn the secret.
        if key.server != url.server() {
            return Ok(url);
        }
        let secret = self.inner.seal.open(&context(id, &key), &key.sealed)?;
        Ok(match &key.username {
            Some(username) => url.with_login(username, &secret),
            None => url.with_key(slipway_git::DeployKey {
                private: secret,
                known_hosts: key.known_hosts,
            }),
        })
    }

    /// How a job of a project fetches its commit; `key` is the stored credential.
    pub(crate) fn job_repository(
        &self,
        project: &Project,
        key: Option<DeployKey>,
    ) -> Result<JobRepository, FarmError> {
        // A text that is no URL must not reach git, which would take some texts for options.
        let is_url = check_repo_url(&project.repo_url).is_ok();
        let plain = JobRepository {
            url: if is_url {
                project.repo_url.clone()
            } else {
                String::new()
            },
            key: None,
        };
        let remote: Result<RemoteUrl, GitError> = project.repo_url.parse();
        let (Some(key), Ok(remote)) = (key, remote) else {
            return Ok(plain);
        };
        // The same rule as for the farm itself: no other server gets the secret.
        if key.server != remote.server() {
            return Ok(plain);
        }
        let secret = self
            .inner
            .seal
            .open(&context(project.id, &key), &key.sealed)?;
        Ok(match key.username {
            Some(username) => JobRepository {
                url: with_login(&project.repo_url, &username, &secret),
                key: None,
            },
            None => JobRepository {
                key: Some((secret, key.known_hosts)),
                ..plain
            },
        })
    }
}

/// Checks that a credential matches the protocol of the URL.
fn check_protocol(url: &RemoteUrl, is_token: bool) -> Result<(), FarmError> {
    let why = if is_token && !url.is_http() {
        "a user name and password need a repository at http:// or https://"
    } else if !is_token && !url.is_ssh() {
        "a deploy key needs a repository at ssh:// or USER@HOST:PATH"
    } else {
        return Ok(());
    };
    Err(FarmError::Invalid(format!(
        "{why}; the repository of this project is at {url}"
    )))
}

/// Parses a key. Errors do not repeat any of it.
fn read_key(text: &str) -> Result<PrivateKey, FarmError> {
    let refused = |why: &str| FarmError::Invalid(format!("private_key {why}"));
    let text = text.trim().replace("\r\n", "\n");
    let key = PrivateKey::from_openssh(text).map_err(|_| {
        refused(
            "must be a private key in OpenSSH format, which begins with -----BEGIN OPENSSH PRIVATE \
             KEY-----; convert others with `ssh-keygen -p -f FILE`",
        )
    })?;
    // Runners use the key unattended.
    if key.is_encrypted() {
        return Err(refused(
            "must not have a passphrase, because nobody could enter it",
        ));
    }
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. } => Ok(key),
        _ => Err(refused("must be an ed25519, ECDSA or RSA key")),
    }
}

/// Checks the lines of a `known_hosts` file; `None` when there are none.
fn read_known_hosts(text: Option<String>) -> Result<Option<String>, FarmError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    check_value("known_hosts", &text)?;
    let all_read = KnownHosts::new(&text).all(|line| line.is_ok());
    if all_read && KnownHosts::new(&text).next().is_some() {
        Ok(Some(format!("{}\n", text.trim())))
    } else {
        Err(FarmError::Invalid(
            "known_hosts must have lines of the form HOST TYPE KEY, as `ssh-keyscan HOST` prints them"
                .to_owned(),
        ))
    }
}

fn public_half(key: &PrivateKey) -> Result<String, FarmError> {
    key.public_key().to_openssh().map_err(unwritable)
}

fn private_half(key: &PrivateKey) -> Result<String, FarmError> {
    let text = key.to_openssh(LineEnding::LF).map_err(unwritable)?;
    Ok(text.to_string())
}

fn unwritable(error: ssh_key::Error) -> FarmError {
    FarmError::Internal(Box::new(error))
}

/// The URL with a login in it, which all kinds of runners understand.
fn with_login(url: &str, username: &str, password: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return url.to_owned();
    };
    let set = parsed
        .set_username(username)
        .and_then(|()| parsed.set_password(Some(password)));
    match set {
        Ok(()) => parsed.into(),
        Err(()) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_key_is_refused_and_not_repeated() {
        let bad = "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----";
        for bad in ["", "hunter2", bad] {
            let error = read_key(bad).unwrap_err().to_string();
            assert!(
                error.contains("OpenSSH") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn every_line_of_known_hosts_must_be_valid() {
        let key = "AAAAC3NzaC1lZDI1NTE5AAAAIGTstxoxV7Fk9K5YWNYuqFqRQ2lnCFMyjv2xv2D3cPqA";
        let line = format!("git.example,[git.example]:2222 ssh-ed25519 {key}");
        let read = read_known_hosts(Some(format!("# ours\n\n{line}\n"))).unwrap();
        assert!(read.unwrap().ends_with(&format!("{line}\n")));
        assert_eq!(read_known_hosts(Some(" \n".to_owned())).unwrap(), None);
        for bad in ["git.example", "git.example ssh-ed25519 x", "# nothing"] {
            assert!(read_known_hosts(Some(bad.to_owned())).is_err(), "{bad}");
        }
    }

    #[test]
    fn special_characters_of_a_login_are_escaped() {
        let url = with_login("https://git.example/a.git", "me@x", "p/w:#");
        assert_eq!(url, "https://me%40x:p%2Fw%3A%23@git.example/a.git");
    }
}
