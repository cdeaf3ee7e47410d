//! Robots: registry accounts of a namespace that pull base images for builds that name them.

use chrono::{DateTime, Utc};
use slipway_domain::access::Action;
use slipway_domain::{BuildUuid, Name, NamespaceId};
use slipway_store::builds::Build;
use slipway_store::robots::{self, Robot};
use slipway_store::{Conn, projects};

use crate::access::authorize::Actor;
use crate::access::registry_accounts::RegistryAccess;
use crate::error::FarmError;
use crate::farm::Farm;
use crate::projects::secret_checks::{check_value, registry_host};

/// Registry, user name and password to pull the base images of a build with.
pub(crate) type PullLogin = (String, String, String);

/// A robot without its password.
#[derive(Clone, Debug)]
pub struct RobotDetails {
    pub name: Name,
    /// The user name at the registry, by which builds refer to the robot.
    pub username: String,
    /// The host of the registry, with its port if it has one.
    pub registry: String,
    pub created_at: DateTime<Utc>,
}

impl RobotDetails {
    fn of(namespace: &Name, robot: Robot) -> Self {
        Self {
            username: full_name(namespace, &robot.name),
            name: robot.name,
            registry: robot.registry,
            created_at: robot.created_at,
        }
    }
}

/// The name of a robot outside of its namespace.
fn full_name(namespace: &Name, robot: &Name) -> String {
    format!("{namespace}+{robot}")
}

/// The registry is part of the context, so that a password cannot be sent to another one.
fn robot_context(namespace: NamespaceId, registry: &str, name: &Name) -> String {
    format!("robot:{namespace}:{registry}:{name}")
}

fn login_context(build: BuildUuid) -> String {
    format!("pull-login:{build}")
}

impl Farm {
    /// The robots of a namespace, by name.
    pub async fn robots(&self, access: &RegistryAccess) -> Result<Vec<RobotDetails>, FarmError> {
        let id = access.id();
        let list = move |conn: &mut Conn| robots::of_namespace(conn, id);
        let robots = self.read(list).await?;
        let namespace = &access.namespace().name;
        let shown = robots
            .into_iter()
            .map(|robot| RobotDetails::of(namespace, robot));
        Ok(shown.collect())
    }

    /// Sets a robot of a namespace and replaces an earlier one of the same name.
    ///
    /// # Errors
    /// `Invalid` for an invalid registry or password.
    pub async fn set_robot(
        &self,
        access: &RegistryAccess,
        name: &Name,
        registry: &str,
        password: &str,
    ) -> Result<RobotDetails, FarmError> {
        let registry = registry_host(registry)?;
        check_value("password", password)?;
        let (id, name, now) = (access.id(), name.clone(), self.now());
        let context = robot_context(id, &registry, &name);
        let nonce = self.inner.chance.bytes();
        let sealed = self.inner.seal.seal(&context, password, nonce);
        let put = move |conn: &mut Conn| robots::put(conn, id, &name, &registry, &sealed, now);
        let robot = self.write(put).await?;
        Ok(RobotDetails::of(&access.namespace().name, robot))
    }

    /// Deletes a robot of a namespace. Builds that named it keep their copy of its login.
    ///
    /// # Errors
    /// `NotFound` when there is no such robot.
    pub async fn delete_robot(
        &self,
        access: &RegistryAccess,
        name: &Name,
    ) -> Result<(), FarmError> {
        let (id, name) = (access.id(), name.clone());
        let remove = move |conn: &mut Conn| robots::delete(conn, id, &name);
        self.write(remove).await
    }

    /// The login of a robot, sealed for a build. Requires a maintainer of its namespace.
    pub(crate) async fn pull_login(
        &self,
        actor: &Actor,
        robot: &str,
        build: BuildUuid,
    ) -> Result<String, FarmError> {
        const NOT_YOURS: FarmError =
            FarmError::Forbidden("this needs the role maintainer in the namespace of the robot");
        const NONE: FarmError = FarmError::NotFound("pull robot");
        let (namespace, short) = robot.split_once('+').ok_or(NOT_YOURS)?;
        let namespace: Name = namespace.parse().map_err(|_| NONE)?;
        let short: Name = short.parse().map_err(|_| NONE)?;
        let owner = namespace.clone();
        let find = move |conn: &mut Conn| {
            let id = projects::namespace_by_name(conn, &owner)?.id;
            Ok((id, robots::get(conn, id, &short)?))
        };
        let found = self.read(find).await;
        let (id, found) = found.map_err(|error| match error {
            FarmError::NotFound(_) => NONE,
            other => other,
        })?;
        // Checked after the robot was found: a missing robot is reported to everybody who may
        // build.
        actor.require(Action::ManageRegistryAccounts)?;
        let administers = self.registry_accounts_by_id(actor, id).await;
        administers.map_err(|error| match error {
            FarmError::NotFound(_) => NOT_YOURS,
            other => other,
        })?;
        let context = robot_context(id, &found.registry, &found.name);
        let password = self.inner.seal.open(&context, &found.sealed)?;
        let username = full_name(&namespace, &found.name);
        let login: PullLogin = (found.registry, username, password);
        // A copy is sealed for the build: deleting the robot later must not break a queued build.
        let plain = serde_json::json!(login).to_string();
        let nonce = self.inner.chance.bytes();
        Ok(self.inner.seal.seal(&login_context(build), &plain, nonce))
    }

    /// The login to pull the base images of a build with, in plain text.
    pub(crate) fn pull_login_of(&self, build: &Build) -> Result<Option<PullLogin>, FarmError> {
        let Some(sealed) = &build.pull_login else {
            return Ok(None);
        };
        let plain = self.inner.seal.open(&login_context(build.uuid), sealed)?;
        let login = serde_json::from_str(&plain).map_err(|_| crate::crypto::seal::UnsealError)?;
        Ok(Some(login))
    }
}
