//! Settings of Podman, which serves the API of Docker.

use std::fs;

use anyhow::Result;

use super::EngineKind;
use super::root::{DATA, Root, SOCKET, SOCKETS};

/// Writes the files that Podman reads.
pub(super) fn configure(root: &Root, kind: EngineKind) -> Result<()> {
    let network = if kind == EngineKind::Podman4 {
        // Debian chooses the program for rules when the package is installed.
        root.link("usr/sbin/iptables", "xtables-nft-multi")?;
        root.link("usr/sbin/ip6tables", "xtables-nft-multi")?;
        "network_backend = \"netavark\""
    } else {
        "firewall_driver = \"none\""
    };
    let policy = r#"{"default":[{"type":"insecureAcceptAnything"}]}"#;
    root.write("etc/containers/policy.json", policy)?;
    let registries = "unqualified-search-registries = [\"docker.io\"]\n\
                      [[registry]]\nlocation = \"127.0.0.1\"\ninsecure = true\n";
    root.write("etc/containers/registries.conf", registries)?;
    // Podman would raise the limits of its containers above those of this process, and Podman 4 above
    // those that it was started with.
    let limits = [
        ("nofile", "Max open files", 20_000),
        ("nproc", "Max processes", 32_768),
    ];
    let limits = limits.map(|(name, line, enough)| {
        let limit = hard_limit(line).map_or(enough, |limit| limit.min(enough));
        format!("\"{name}={limit}:{limit}\"")
    });
    let settings = format!(
        "[containers]\ndefault_ulimits = [{}]\n\
         [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n\
         [network]\n{network}\n",
        limits.join(", ")
    );
    root.write("etc/containers/containers.conf", &settings)
}

/// The hard limit of this process in a line of `/proc/self/limits`, if it has one.
fn hard_limit(line: &str) -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|found| found.strip_prefix(line))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The program and its arguments.
pub(super) fn arguments() -> Vec<String> {
    vec![
        "/usr/bin/podman".to_owned(),
        format!("--root={DATA}"),
        "--runroot=/run/podman".to_owned(),
        "--storage-driver=overlay".to_owned(),
        "system".to_owned(),
        "service".to_owned(),
        "--time=0".to_owned(),
        format!("unix://{SOCKETS}/{SOCKET}"),
    ]
}
