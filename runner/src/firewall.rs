//! Rules of the host's firewall that keep the networks of jobs away from the host, from each other,
//! from containers of others, and from the metadata services of clouds.
//!
//! The engine separates its networks only from each other, and a container can reach every service
//! of its host. The rules belong to interfaces with the prefix of job networks, so they concern
//! nothing else, and they may be added again and again. A change takes effect as a whole, so running
//! jobs are never without rules.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use slipway_image_builder::JOB_INTERFACE_PREFIX;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The chain for packets to the host itself.
const HOST_CHAIN: &str = "SLIPWAY-HOST";
/// The chain for packets to others.
const FORWARD_CHAIN: &str = "SLIPWAY-FORWARD";
/// Which addresses no job may reach: the link-local network, where most metadata services are, and
/// those of Azure and of Alibaba.
const METADATA: &[&str] = &["169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32"];
/// The interfaces of other containers of the engine.
const OTHER_CONTAINERS: &[&str] = &["docker+", "br-+"];
/// Tells a runner without the right to read the firewall that the rules exist. The directory is empty
/// after the host starts, like the firewall.
const MARK: &str = "/run/slipway-firewall";

/// How often the rules are written if something else changes the firewall at the same time.
const MAX_ATTEMPTS: u32 = 5;

/// Whether the rules exist, as far as this process can tell.
pub fn is_marked() -> bool {
    Path::new(MARK).exists()
}

/// Adds the rules, all at once, and replaces those of an earlier call. This needs the right to change
/// the firewall.
///
/// # Errors
/// Returns why that failed, for a person to read.
pub async fn apply() -> Result<(), String> {
    let servers = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = name_servers(&servers);
    let mut attempt = 1;
    loop {
        let present = run("iptables", &["--wait", "-S"], "").await?;
        let script = script(&present, &servers);
        match run("iptables-restore", &["--wait", "--noflush"], &script).await {
            Ok(_) => break,
            // Another program may have changed what was read.
            Err(error) if attempt == MAX_ATTEMPTS => return Err(error),
            Err(_) => attempt += 1,
        }
    }
    // Only a runner of another user needs it.
    if let Err(error) = std::fs::write(MARK, "") {
        tracing::debug!(%error, "Could not write {MARK}");
    }
    Ok(())
}

/// The changes that make the rules complete and first, as input of `iptables-restore`; `present` are
/// the rules that exist, as `iptables -S` prints them.
fn script(present: &str, servers: &[Ipv4Addr]) -> String {
    let mut lines = vec![
        "*filter".to_owned(),
        format!(":{HOST_CHAIN} - [0:0]"),
        format!(":{FORWARD_CHAIN} - [0:0]"),
    ];
    let filled = [
        (HOST_CHAIN, host_rules(servers)),
        (FORWARD_CHAIN, forward_rules(servers)),
    ];
    for (chain, rules) in filled {
        lines.extend(rules.iter().map(|rule| format!("-A {chain} {rule}")));
    }
    let all = format!("{JOB_INTERFACE_PREFIX}+");
    let mut uses = vec![
        ("INPUT", format!("-i {all} -j {HOST_CHAIN}")),
        ("FORWARD", format!("-i {all} -j {FORWARD_CHAIN}")),
        ("FORWARD", format!("-o {all} -j {FORWARD_CHAIN}")),
    ];
    // The engine puts rules before those in FORWARD, but never before this chain of its own.
    if present.lines().any(|line| line == "-N DOCKER-USER") {
        uses.push(("DOCKER-USER", format!("-i {all} -j {FORWARD_CHAIN}")));
        uses.push(("DOCKER-USER", format!("-o {all} -j {FORWARD_CHAIN}")));
    }
    for (chain, rule) in uses {
        let older = format!("-A {chain} {rule}");
        let older = present.lines().filter(|line| **line == older);
        lines.extend(older.map(|_| format!("-D {chain} {rule}")));
        lines.push(format!("-I {chain} 1 {rule}"));
    }
    lines.push("COMMIT\n".to_owned());
    lines.join("\n")
}

/// The name servers of the host that containers ask directly.
fn name_servers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let lines = resolv_conf.lines();
    let words = lines.filter_map(|line| {
        line.trim()
            .strip_prefix("nameserver")?
            .split_whitespace()
            .next()
    });
    let servers = words.filter_map(|word| word.parse::<Ipv4Addr>().ok());
    servers.filter(|server| !server.is_loopback()).collect()
}

fn host_rules(servers: &[Ipv4Addr]) -> Vec<String> {
    let mut rules = vec!["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN".to_owned()];
    rules.extend(dns_rules(servers));
    rules.push("-j REJECT".to_owned());
    rules
}

fn forward_rules(servers: &[Ipv4Addr]) -> Vec<String> {
    let mut rules = vec!["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN".to_owned()];
    rules.extend(dns_rules(servers));
    // Nobody connects to a job.
    rules.push(format!("-o {JOB_INTERFACE_PREFIX}+ -j REJECT"));
    rules.extend(
        METADATA
            .iter()
            .map(|network| format!("-d {network} -j REJECT")),
    );
    let others = OTHER_CONTAINERS.iter();
    rules.extend(others.map(|interface| format!("-o {interface} -j REJECT")));
    rules.push("-j RETURN".to_owned());
    rules
}

fn dns_rules(servers: &[Ipv4Addr]) -> impl Iterator<Item = String> {
    servers.iter().flat_map(|server| {
        ["udp", "tcp"].map(|protocol| format!("-d {server} -p {protocol} --dport 53 -j RETURN"))
    })
}

/// Runs a program with this input; returns its output.
async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("could not run {program}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended early says why in its output.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    let line = error.lines().next().unwrap_or_default();
    Err(format!("{program} failed: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_name_servers_stay_reachable_and_nothing_else_of_it() {
        let servers =
            name_servers("# x\nnameserver 10.0.0.2\nnameserver 127.0.0.53\nnameserver fd00::1\n");
        assert_eq!(servers, [Ipv4Addr::new(10, 0, 0, 2)]);
        let rules = host_rules(&servers);
        assert_eq!(rules.last().unwrap(), "-j REJECT");
        assert_eq!(rules[1], "-d 10.0.0.2 -p udp --dport 53 -j RETURN");
        let rules = forward_rules(&[]);
        assert!(rules.contains(&"-d 169.254.0.0/16 -j REJECT".to_owned()));
        assert!(rules.contains(&"-o slipjob+ -j REJECT".to_owned()));
    }

    #[test]
    fn older_rules_are_replaced_and_others_stay() {
        let first = script("-P INPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n", &[]);
        assert!(
            first.contains("-I INPUT 1 -i slipjob+ -j SLIPWAY-HOST\n"),
            "{first}"
        );
        assert!(
            !first.contains("-D ") && !first.contains("DOCKER-USER"),
            "{first}"
        );
        let present = "-N DOCKER-USER\n-A INPUT -i slipjob+ -j SLIPWAY-HOST\n";
        let second = script(present, &[]);
        assert_eq!(
            second
                .matches("-D INPUT -i slipjob+ -j SLIPWAY-HOST\n")
                .count(),
            1
        );
        assert!(
            second.contains("-I DOCKER-USER 1 -o slipjob+ -j SLIPWAY-FORWARD\n"),
            "{second}"
        );
        assert!(second.ends_with("COMMIT\n"));
    }
}
