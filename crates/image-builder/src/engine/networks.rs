//! Networks of single jobs.
//!
//! The engine separates its networks from each other. What it does not do is to keep containers away
//! from the host itself; the names of the interfaces let the firewall of the host do that.

use std::collections::HashMap;

use bollard::errors::Error;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::ListNetworksOptions;

use crate::builder::Builder;
use crate::engine::failures::engine_error;
use crate::error::BuildError;

/// How the names of the interfaces of all job networks begin. The kernel allows 15 bytes.
pub const JOB_INTERFACE_PREFIX: &str = "slipjob";

impl Builder {
    /// Creates the network of `job`, which exists until [`Builder::remove_job`] is called, and
    /// returns its name. Returns `None` if jobs use the engine's default network.
    ///
    /// # Errors
    /// `HostFailed` or `EngineUnavailable` if the engine cannot create it.
    pub async fn create_network(&self, job: &str) -> Result<Option<String>, BuildError> {
        if !self.confinement().own_network {
            return Ok(None);
        }
        let name = self.container_name("net", job);
        let interface = format!("{JOB_INTERFACE_PREFIX}{:08x}", rand::random::<u32>());
        let option = "com.docker.network.bridge.name".to_owned();
        let options = HashMap::from([(option, interface)]);
        let request = NetworkCreateRequest {
            name: name.clone(),
            driver: Some("bridge".to_owned()),
            enable_ipv6: Some(false),
            labels: Some(self.labels(job)),
            // Podman has other options.
            options: (!self.is_podman()).then_some(options),
            ..NetworkCreateRequest::default()
        };
        let created = self.engine().create_network(request).await;
        created.map_err(engine_error)?;
        Ok(Some(name))
    }

    /// Deletes the networks with these labels that this owner named.
    pub(crate) async fn remove_networks(&self, labels: Vec<String>) -> Result<(), BuildError> {
        let options = ListNetworksOptions {
            filters: Some(HashMap::from([("label".to_owned(), labels)])),
        };
        let networks = self.engine().list_networks(Some(options)).await;
        let names = networks.map_err(engine_error)?.into_iter();
        let prefix = self.container_prefix();
        let names = names.filter_map(|network| network.name);
        for name in names.filter(|name| name.starts_with(&prefix)) {
            match self.engine().remove_network(&name).await {
                Ok(())
                | Err(Error::DockerResponseServerError {
                    status_code: 404, ..
                }) => {}
                // It is in use while the engine still deletes its container; the next sweep finds
                // it.
                Err(Error::DockerResponseServerError {
                    status_code: 403 | 409 | 500,
                    message,
                }) => tracing::debug!("Could not delete the network {name}: {message}"),
                Err(error) => return Err(engine_error(error)),
            }
        }
        Ok(())
    }

    /// Whether the steps of BuildKit builds of this engine can reach each other, because they share
    /// its default network. `true` if the engine does not tell.
    pub async fn steps_reach_each_other(&self) -> bool {
        let found = self.engine().inspect_network("bridge", None).await;
        let options = found.ok().and_then(|network| network.options);
        let icc = options.and_then(|mut all| all.remove("com.docker.network.bridge.enable_icc"));
        icc.as_deref() != Some("false")
    }
}
