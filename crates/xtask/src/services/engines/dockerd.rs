//! Settings of `dockerd`.

use anyhow::Result;

use super::root::{DATA, Root, SOCKET, SOCKETS};

/// The file with the settings that have no option in every version.
const CONFIG: &str = "etc/docker-containerd.json";

/// The program and its arguments. The network of its containers is the bridge of this name.
pub(super) fn arguments(root: &Root, bridge: &str, is_containerd: bool) -> Result<Vec<String>> {
    let mut arguments = vec![
        "/usr/sbin/dockerd".to_owned(),
        format!("--host=unix://{SOCKETS}/{SOCKET}"),
        format!("--data-root={DATA}"),
        "--exec-root=/run/docker".to_owned(),
        "--pidfile=/run/docker.pid".to_owned(),
        format!("--bridge={bridge}"),
        "--iptables=false".to_owned(),
        "--ip6tables=false".to_owned(),
        "--userland-proxy=false".to_owned(),
    ];
    if is_containerd {
        root.write(CONFIG, r#"{"features":{"containerd-snapshotter":true}}"#)?;
        arguments.push(format!("--config-file=/{CONFIG}"));
    }
    Ok(arguments)
}
