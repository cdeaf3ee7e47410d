//! Secrets of jobs: variables of projects, and registry credentials of namespaces.
//!
//! Values are sealed before they are stored. Only public variables are shown again, except in the
//! one dialect whose clients expect maintainers to read all of them. Everything else leaves the farm
//! only inside a claimed job.

use chrono::{DateTime, Utc};
use slipway_domain::{NamespaceId, ProjectId, Role};
use slipway_masking::texts::Shortfall;
use slipway_store::builds::Build;
use slipway_store::deploy_keys::{self, DeployKey};
use slipway_store::projects::Project;
use slipway_store::secrets::{self, Credential, Variable};
use slipway_store::{Conn, StoreError};

use crate::access::authorize::ProjectAccess;
use crate::access::registry_accounts::RegistryAccess;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::deploy_keys::JobRepository;
use crate::projects::secret_checks::{check_key, check_user_name, check_value, registry_host};

/// A variable as a maintainer sees it.
#[derive(Clone, Debug)]
pub struct VariableDetails {
    pub key: String,
    /// `None` unless the variable is public.
    pub value: Option<String>,
    /// Whether the value may be shown, also in traces.
    pub public: bool,
    /// Whether jobs get the value in a file, and its path in the variable.
    pub file: bool,
    pub created_at: DateTime<Utc>,
    /// What of the value is not masked in traces, in a sentence. Known only when it was just set.
    pub warning: Option<String>,
}

/// A variable with its value, whether it is public or not. It has no `Debug`, so that it cannot be
/// logged.
pub struct PlainVariable {
    pub key: String,
    pub value: String,
    /// Whether the value may be shown, also in traces.
    pub public: bool,
    /// Whether jobs get the value in a file, and its path in the variable.
    pub file: bool,
}

/// The value of a variable that is set.
#[derive(Clone, Copy)]
pub struct NewVariable<'a> {
    pub value: &'a str,
    /// Whether the value may be shown, also in traces.
    pub public: bool,
    /// Whether jobs get the value in a file, and its path in the variable.
    pub file: bool,
}

/// A registry credential as a maintainer sees it: without the password.
#[derive(Clone, Debug)]
pub struct CredentialDetails {
    /// The host of the registry, with its port if it has one.
    pub registry: String,
    pub username: String,
    pub created_at: DateTime<Utc>,
    /// What of the password is not masked in traces, in a sentence. Known only when it was just set.
    pub warning: Option<String>,
}

impl From<Credential> for CredentialDetails {
    fn from(credential: Credential) -> Self {
        Self {
            registry: credential.registry,
            username: credential.username,
            created_at: credential.created_at,
            warning: None,
        }
    }
}

/// What of a secret is not masked in traces, for the person who sets it.
fn masking_warning(what: &str, secret: &str) -> Option<String> {
    Shortfall::of(secret).map(|shortfall| format!("The {what} is {shortfall}."))
}

/// The secrets of a job in plain text.
pub struct JobSecrets {
    /// If a name occurs more than once, the last one counts.
    pub variables: Vec<PlainVariable>,
    /// Registry, user name and password.
    pub credentials: Vec<(String, String, String)>,
    /// Registry, user name and password to pull base images with, where they differ.
    pub pull_login: Option<(String, String, String)>,
    /// How the job fetches its commit.
    pub repository: JobRepository,
}

/// The secrets of a project as they are stored.
pub(crate) struct SealedSecrets {
    variables: Vec<Variable>,
    credentials: Vec<Credential>,
    deploy_key: Option<DeployKey>,
}

impl SealedSecrets {
    /// Reads the secrets that jobs of a project get.
    pub(crate) fn read(conn: &mut Conn, project: &Project) -> Result<Self, StoreError> {
        Ok(Self {
            variables: secrets::variables_of(conn, project.id)?,
            credentials: secrets::credentials_of(conn, project.namespace)?,
            deploy_key: deploy_keys::get(conn, project.id)?,
        })
    }
}

fn variable_context(project: ProjectId, key: &str) -> String {
    format!("variable:{project}:{key}")
}

/// The user name is part of the context, so that a password cannot be used with another one.
fn credential_context(namespace: NamespaceId, registry: &str, username: &str) -> String {
    format!("credential:{namespace}:{registry}:{username}")
}

impl Farm {
    /// The variables of a project, by name. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn variables(
        &self,
        access: &ProjectAccess,
    ) -> Result<Vec<VariableDetails>, FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let rows = self
            .read(move |conn| secrets::variables_of(conn, project))
            .await?;
        rows.into_iter()
            .map(|row| self.shown(project, row))
            .collect()
    }

    /// The variables of a project, by name, with all values. Only for the one dialect whose clients
    /// expect them. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`.
    pub async fn plain_variables(
        &self,
        access: &ProjectAccess,
    ) -> Result<Vec<PlainVariable>, FarmError> {
        access.require(Role::Maintainer)?;
        let project = access.id();
        let list = move |conn: &mut _| secrets::variables_of(conn, project);
        let rows = self.read(list).await?;
        let open = |row: Variable| {
            let context = variable_context(project, &row.key);
            Ok(PlainVariable {
                value: self.inner.seal.open(&context, &row.sealed)?,
                key: row.key,
                public: row.public,
                file: row.file,
            })
        };
        rows.into_iter().map(open).collect()
    }

    fn shown(&self, project: ProjectId, row: Variable) -> Result<VariableDetails, FarmError> {
        let open = || {
            let context = variable_context(project, &row.key);
            self.inner.seal.open(&context, &row.sealed)
        };
        Ok(VariableDetails {
            value: row.public.then(open).transpose()?,
            key: row.key,
            public: row.public,
            file: row.file,
            created_at: row.created_at,
            warning: None,
        })
    }

    /// Sets a variable of a project. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `Invalid` for an invalid name or value.
    pub async fn set_variable(
        &self,
        access: &ProjectAccess,
        key: &str,
        new: NewVariable<'_>,
    ) -> Result<VariableDetails, FarmError> {
        access.require(Role::Maintainer)?;
        check_key(key)?;
        check_value("value", new.value)?;
        let (project, key) = (access.id(), key.to_owned());
        let context = variable_context(project, &key);
        let sealed = self
            .inner
            .seal
            .seal(&context, new.value, self.inner.chance.bytes());
        let (now, flags) = (self.now(), (new.public, new.file));
        let put =
            move |conn: &mut _| secrets::put_variable(conn, project, &key, &sealed, flags, now);
        let row = self.write(put).await?;
        let masked = (!new.public).then_some(new.value);
        Ok(VariableDetails {
            warning: masked.and_then(|value| masking_warning("value", value)),
            ..self.shown(project, row)?
        })
    }

    /// Deletes a variable of a project. Requires a maintainer.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound` when there is no such variable.
    pub async fn delete_variable(
        &self,
        access: &ProjectAccess,
        key: &str,
    ) -> Result<(), FarmError> {
        access.require(Role::Maintainer)?;
        let (project, key) = (access.id(), key.to_owned());
        let remove = move |conn: &mut _| secrets::delete_variable(conn, project, &key);
        self.write(remove).await
    }

    /// The registry credentials of a namespace, without passwords.
    pub async fn registry_credentials(
        &self,
        access: &RegistryAccess,
    ) -> Result<Vec<CredentialDetails>, FarmError> {
        let namespace = access.id();
        let rows = self
            .read(move |conn| secrets::credentials_of(conn, namespace))
            .await?;
        Ok(rows.into_iter().map(CredentialDetails::from).collect())
    }

    /// Sets the credential with which the jobs of a namespace log in to a registry.
    ///
    /// # Errors
    /// `Invalid` for an invalid registry, user name or password.
    pub async fn set_registry_credential(
        &self,
        access: &RegistryAccess,
        registry: &str,
        username: &str,
        password: &str,
    ) -> Result<CredentialDetails, FarmError> {
        let registry = registry_host(registry)?;
        check_user_name(username)?;
        check_value("password", password)?;
        let (namespace, username) = (access.id(), username.to_owned());
        let context = credential_context(namespace, &registry, &username);
        let sealed = self
            .inner
            .seal
            .seal(&context, password, self.inner.chance.bytes());
        let now = self.now();
        let put = move |conn: &mut _| {
            secrets::put_credential(conn, namespace, &registry, &username, &sealed, now)
        };
        Ok(CredentialDetails {
            warning: masking_warning("password", password),
            ..self.write(put).await?.into()
        })
    }

    /// Deletes a registry credential of a namespace.
    ///
    /// # Errors
    /// `NotFound` when there is no such credential.
    pub async fn delete_registry_credential(
        &self,
        access: &RegistryAccess,
        registry: &str,
    ) -> Result<(), FarmError> {
        let (namespace, registry) = (access.id(), registry.to_ascii_lowercase());
        let remove = move |conn: &mut _| secrets::delete_credential(conn, namespace, &registry);
        self.write(remove).await
    }

    /// Registry, user name and password of a credential of a namespace.
    pub(crate) fn opened_credential(
        &self,
        namespace: NamespaceId,
        row: Credential,
    ) -> Result<(String, String, String), FarmError> {
        let context = credential_context(namespace, &row.registry, &row.username);
        let password = self.inner.seal.open(&context, &row.sealed)?;
        Ok((row.registry, row.username, password))
    }

    /// The secrets of a job of `build` in plain text, for the one answer that hands the job out.
    /// Where two variables have the same name the last one wins, so the build's own come after the
    /// project's.
    pub(crate) fn open_secrets(
        &self,
        project: &Project,
        build: &Build,
        sealed: SealedSecrets,
    ) -> Result<JobSecrets, FarmError> {
        let (id, namespace) = (project.id, project.namespace);
        let SealedSecrets {
            variables,
            credentials,
            deploy_key: key,
        } = sealed;
        let seal = &self.inner.seal;
        let variable = |row: Variable| {
            let value = seal.open(&variable_context(id, &row.key), &row.sealed)?;
            Ok(PlainVariable {
                key: row.key,
                value,
                public: row.public,
                file: row.file,
            })
        };
        let credential = |row| self.opened_credential(namespace, row);
        let mut variables = variables
            .into_iter()
            .map(variable)
            .collect::<Result<Vec<_>, FarmError>>()?;
        // Later entries win, and the variables of the build override those of the project.
        variables.extend(self.variables_of_build(build)?);
        // Submitted sources are not fetched from the repository, so the job does not need its key.
        let key = key.filter(|_| !build.sha.is_none());
        Ok(JobSecrets {
            repository: self.job_repository(project, key)?,
            pull_login: self.pull_login_of(build)?,
            variables,
            credentials: credentials
                .into_iter()
                .map(credential)
                .collect::<Result<_, FarmError>>()?,
        })
    }
}
