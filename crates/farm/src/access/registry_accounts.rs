//! Who may manage the robots and registry logins of a namespace.

use slipway_domain::access::Action;
use slipway_domain::{Name, NamespaceId, Role};
use slipway_store::projects::{self, Namespace};
use slipway_store::{Conn, StoreError};

use crate::access::authorize::{Actor, require};
use crate::error::FarmError;
use crate::farm::Farm;

/// Proof that an actor may manage the robots and registry logins of a namespace, and nothing else
/// of it; only this module makes one.
#[derive(Clone, Debug)]
pub struct RegistryAccess {
    namespace: Namespace,
}

impl RegistryAccess {
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub fn id(&self) -> NamespaceId {
        self.namespace.id
    }
}

impl Farm {
    /// Checks that an actor may manage the robots and registry logins of a namespace: its maintainers
    /// may, with a token of the scope namespaces or admin.
    ///
    /// # Errors
    /// `NotFound` when there is no such namespace that the actor may see; `Forbidden`.
    pub async fn registry_accounts(
        &self,
        actor: &Actor,
        name: &Name,
    ) -> Result<RegistryAccess, FarmError> {
        let name = name.clone();
        let find = move |conn: &mut Conn| projects::namespace_by_name(conn, &name);
        self.registry_accounts_found_by(actor, find).await
    }

    /// [`Farm::registry_accounts`], by the namespace's id.
    ///
    /// # Errors
    /// As [`Farm::registry_accounts`].
    pub(crate) async fn registry_accounts_by_id(
        &self,
        actor: &Actor,
        id: NamespaceId,
    ) -> Result<RegistryAccess, FarmError> {
        let find = move |conn: &mut Conn| projects::namespace(conn, id);
        self.registry_accounts_found_by(actor, find).await
    }

    async fn registry_accounts_found_by(
        &self,
        actor: &Actor,
        find: impl FnOnce(&mut Conn) -> Result<Namespace, StoreError> + Send + 'static,
    ) -> Result<RegistryAccess, FarmError> {
        let (namespace, membership) = self.namespace_and_membership(actor, find).await?;
        actor
            .role_in_namespace(membership)
            .ok_or(FarmError::NotFound("namespace"))?;
        let full = actor.role(membership, Some(Role::Owner));
        require(full.unwrap_or(Role::Guest), Role::Maintainer)?;
        actor.require(Action::ManageRegistryAccounts)?;
        Ok(RegistryAccess { namespace })
    }
}
