//! Jobs of two projects on one host: what one of them may not get from the other.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_image_builder::{Builder, Confinement};
use slipway_outbound::Outbound;
use slipway_runner::firewall;
use slipway_test_engine::{docker, is_podman, remove_image, shell_image};

use super::scripts::{script, trace};
use super::{Repository, loopback, runner, runner_of, until};
use crate::fake_coordinator::{FakeCoordinator, until_empty};

/// Adds to a payload what keeps the jobs of this project apart from others.
fn of_project(mut job: Value, project: &str, push_to: &[&str]) -> Value {
    job["own"]["isolation"] = json!({
        "project_scope": format!("{project}-all"), "trust_scope": project, "trust": "ref",
        "push_to": push_to,
    });
    job
}

/// Adds the login of the private registry to a payload.
fn with_login(mut job: Value) -> Value {
    let var = |name: &str| std::env::var(name).unwrap();
    job["credentials"] = json!([{
        "type": "registry", "url": var("SLIPWAY_TEST_AUTH_REGISTRY"),
        "username": var("SLIPWAY_TEST_AUTH_REGISTRY_USER"),
        "password": var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD"),
    }]);
    job
}

fn unique(prefix: &str) -> String {
    format!("{prefix}{:016x}", rand::random::<u64>())
}

#[tokio::test]
async fn a_private_image_of_another_project_is_not_used_although_the_engine_has_it() {
    let closed = std::env::var("SLIPWAY_TEST_AUTH_REGISTRY").unwrap();
    let repository = Repository::with("FROM scratch\nCOPY busybox /bin/sh\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let name = format!("{closed}/first/{}", unique("a"));
    let spec = json!({"kind": "image_build", "repository": name, "tags": ["1"]});
    fake.enqueue(
        1,
        &[],
        with_login(of_project(repository.job(&spec), "first", &[&name])),
    );
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success", "{}", trace(&held));
    let digest = held.report.unwrap().image.unwrap().digest;
    let (by_tag, by_digest) = (format!("{name}:1"), format!("{name}@{digest}"));
    for (id, image) in [(2, &by_tag), (3, &by_digest)] {
        let own = repository.job(&script(image, &["echo used"], Value::Null));
        fake.enqueue(id, &[], with_login(of_project(own, "first", &[])));
        let held = fake.until_reported(id).await;
        assert_eq!(held.status, "success", "{}", trace(&held));
    }
    docker(&["image", "inspect", &by_tag]);
    for (id, image) in [(4, &by_tag), (5, &by_digest)] {
        let other = repository.job(&script(image, &["echo used"], Value::Null));
        fake.enqueue(id, &[], of_project(other, "second", &[]));
        let held = fake.until_reported(id).await;
        let text = trace(&held);
        let reason = held.report.unwrap().failure_reason;
        assert_eq!(reason.as_deref(), Some("base_image_unavailable"), "{text}");
        assert!(!text.contains("used\n"), "{text}");
    }
    // The image of another job is only named by its digest.
    let mut continuing = script(&by_digest, &["echo used"], Value::Null);
    continuing["image_of"] = json!("first");
    fake.enqueue(
        6,
        &[],
        of_project(repository.job(&continuing), "second", &[]),
    );
    let reason = fake.until_reported(6).await.report.unwrap().failure_reason;
    assert_eq!(reason.as_deref(), Some("base_image_unavailable"));
    remove_image(&by_tag);
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_cache_mount_of_another_project_is_empty() {
    if is_podman() {
        return;
    }
    let name = unique("shared");
    let dockerfile = format!(
        "FROM scratch\nCOPY busybox /bin/sh\nARG ROUND\n\
         RUN --mount=type=cache,id={name},target=/c ls /c | sed 's/^/found /'; echo >/c/$ROUND\n"
    );
    let repository = Repository::with(&dockerfile);
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let mut next = 1;
    // Whether the cache mount of a project contains something.
    let mut finds = async |project: &str| {
        let id = next;
        next += 1;
        let spec = json!({"kind": "image_build", "args": {"ROUND": format!("round-{id}")}});
        fake.enqueue(id, &[], of_project(repository.job(&spec), project, &[]));
        let held = fake.until_reported(id).await;
        let text = trace(&held);
        assert_eq!(held.status, "success", "{text}");
        text.lines().any(|line| line.contains(" found round-"))
    };
    // Another test may prune the engine's cache at any time. So the mount counts as apart only if it
    // was full for its own project both before and after.
    let mut was_full = false;
    for _ in 0..8 {
        finds("first").await;
        let before = finds("first").await;
        assert!(!finds("second").await);
        was_full = before && finds("first").await;
        if was_full {
            break;
        }
    }
    assert!(was_full);
    runner.drain(&fake).await;
}

#[tokio::test]
async fn an_image_is_pushed_only_below_the_projects_own_repository() {
    let registry = std::env::var("SLIPWAY_TEST_REGISTRY").unwrap();
    let repository = Repository::with("FROM scratch\nCOPY busybox /bin/sh\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let own = format!("{registry}/{}", unique("own"));
    let other = format!("{registry}/{}", unique("other"));
    let image = |place: &str| json!({"kind": "image_build", "repository": place, "tags": ["1"]});
    let mut cache = image(&own);
    cache["cache_to"] = json!(format!("{other}:cache"));
    let mut saved = script(shell_image(), &["true"], Value::Null);
    saved["keep"] = json!(format!("{other}:1"));
    for (id, spec, is_refused) in [
        (1, image(&own), false),
        (2, image(&format!("{own}/web")), false),
        (3, image(&other), true),
        (4, image(&format!("{own}2")), true),
        (5, cache, true),
        (6, saved, true),
    ] {
        fake.enqueue(id, &[], of_project(repository.job(&spec), "first", &[&own]));
        let held = fake.until_reported(id).await;
        let report = held.report.clone().unwrap();
        if is_refused {
            let reason = report.failure_reason.as_deref();
            assert_eq!(reason, Some("push_refused"), "{id}: {}", trace(&held));
            let message = report.failure_message.unwrap();
            assert!(message.contains("--allow-push-to"), "{message}");
        } else {
            assert_eq!(held.status, "success", "{id}: {}", trace(&held));
        }
    }
    runner.drain(&fake).await;
}

/// Prints whether something listens at each of the addresses.
fn try_all(addresses: &[(String, u16)]) -> String {
    let tries = addresses.iter().map(|(host, port)| {
        format!(
            "if nc -w 2 {host} {port} </dev/null 2>&1 | grep -q hello; then echo reached {host}; fi"
        )
    });
    let tries: Vec<String> = tries.collect();
    format!("{}; echo tried", tries.join("; "))
}

/// Which addresses a job reaches: a container of another job, and this host through the gateway and
/// its other addresses.
async fn reached(own_network: bool) -> String {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let local = ["slipway-test/*".parse().unwrap()].into_iter().collect();
    let outbound = Outbound::start(loopback()).unwrap();
    let builder = Builder::connect(&unique("test-"), outbound).await.unwrap();
    let confinement = Confinement {
        own_network,
        ..Confinement::default()
    };
    let builder = builder
        .with_local_images(local)
        .with_confinement(confinement);
    let name = builder.container_name("job", "1");
    let runner = runner_of(&fake, builder).await;
    let service = "while true; do echo hello | nc -l -p 8080 >/dev/null 2>&1; done & sleep 60";
    let spec = script(shell_image(), &[service], Value::Null);
    fake.enqueue(1, &[], repository.job(&spec));
    fake.until(1, |job| {
        !job.trace.is_empty() && job.phases.iter().any(|phase| phase == "building")
    })
    .await;
    let address = || {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        docker(&["inspect", "--format", format, &name])
    };
    let is_up = || !docker(&["ps", "-q", "--filter", &format!("name={name}")]).is_empty();
    until(Duration::from_secs(30), || is_up() && !address().is_empty()).await;
    let on_host = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = on_host.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in on_host.incoming().flatten() {
            // A client that hangs up is none of the test's business.
            let _ = stream.write_all(b"hello\n");
        }
    });
    let gateway = "$(ip route | grep default | cut -d ' ' -f 3)".to_owned();
    let mut addresses = vec![(address(), 8080), (gateway, port)];
    addresses.extend(host_addresses().into_iter().map(|host| (host, port)));
    let spec = script(shell_image(), &[&try_all(&addresses)], Value::Null);
    fake.enqueue(2, &[], repository.job(&spec));
    let held = fake.until_reported(2).await;
    let text = trace(&held);
    assert!(text.contains("\ntried\n"), "{text}");
    fake.change(|state| {
        if let Some(job) = state.jobs.get_mut(&1) {
            job.status = "canceled".to_owned();
        }
    });
    until_empty(&runner.jobs_dir()).await;
    runner.drain(&fake).await;
    let networks = docker(&["network", "ls", "--format", "{{.Name}}"]);
    let prefix = name.trim_end_matches("job-1");
    assert!(!networks.contains(prefix), "{networks}");
    let lines = text.lines().filter(|line| line.starts_with("reached "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The addresses of this host, apart from the loopback.
fn host_addresses() -> Vec<String> {
    let output = std::process::Command::new("hostname")
        .arg("-I")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let addresses = text
        .split_whitespace()
        .filter(|address| address.contains('.'));
    addresses.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_script_reaches_neither_another_job_nor_the_host() {
    if is_podman() {
        return;
    }
    let shared = reached(false).await;
    assert!(shared.lines().count() >= 2, "{shared}");
    firewall::apply().await.unwrap();
    // It may be applied by each runner of a host.
    firewall::apply().await.unwrap();
    assert_eq!(reached(true).await, "");
}

#[tokio::test]
async fn commands_do_not_get_the_logins_of_the_namespace() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let spec = script(shell_image(), &["env | sort"], Value::Null);
    let variables = [
        ("SLIPWAY_REGISTRY_PASSWORD_0", "opens-others"),
        ("GREETING", "hello"),
    ];
    fake.enqueue(1, &variables, repository.job(&spec));
    let text = trace(&fake.until_reported(1).await);
    assert!(text.contains("GREETING=hello"), "{text}");
    assert!(!text.contains("REGISTRY_PASSWORD"), "{text}");
    if !is_podman() {
        let spec = json!({
            "kind": "image_build", "secrets": {"stolen": "SLIPWAY_REGISTRY_PASSWORD_0"},
        });
        fake.enqueue(2, &variables, repository.job(&spec));
        let report = fake.until_reported(2).await.report.unwrap();
        assert_eq!(report.failure_reason.as_deref(), Some("secret_missing"));
    }
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_script_has_few_privileges() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    let status = "grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status";
    let limit = "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null || true";
    let root = "id -u; touch /a; chown 1:1 /a; chmod 4755 /a; ls -ln /a";
    let spec = script(shell_image(), &[status, limit, root], Value::Null);
    fake.enqueue(1, &[], repository.job(&spec));
    let held = fake.until_reported(1).await;
    let text = trace(&held);
    assert_eq!(held.status, "success", "{text}");
    assert!(text.contains("NoNewPrivs:\t1"), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("CapEff:\t"));
    let capabilities = u64::from_str_radix(line.unwrap(), 16).unwrap();
    // CHOWN and SETUID are there; NET_RAW, MKNOD and SYS_ADMIN are not.
    for (bit, is_there) in [(0, true), (7, true), (13, false), (27, false), (21, false)] {
        assert_eq!(capabilities >> bit & 1 == 1, is_there, "bit {bit}: {text}");
    }
    if text.contains("\nmax\n") {
        panic!("the number of processes is not limited: {text}");
    }
    runner.drain(&fake).await;
}
