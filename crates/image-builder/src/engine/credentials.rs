//! Registry logins in the form that the engine expects.

use std::collections::HashMap;

use bollard::auth::DockerCredentials;

use crate::request::Login;

/// The key under which the engine looks up the login for Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The hosts that all mean Docker Hub.
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// The logins by the keys under which the engine looks them up.
pub(crate) fn registry_config(logins: &[Login]) -> HashMap<String, DockerCredentials> {
    logins
        .iter()
        .map(|login| {
            let key = if is_hub(&login.registry) {
                HUB_KEY
            } else {
                login.registry.as_str()
            };
            (key.to_owned(), credentials_of(login))
        })
        .collect()
}

/// Whether `registry` is one of the hosts of Docker Hub.
pub(crate) fn is_hub(registry: &str) -> bool {
    HUB_HOSTS.contains(&registry)
}

/// Converts one login.
pub(crate) fn credentials_of(login: &Login) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.clone()),
        serveraddress: Some(login.registry.clone()),
        ..DockerCredentials::default()
    }
}
