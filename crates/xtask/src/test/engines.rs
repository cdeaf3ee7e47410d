//! The tests for which the engine matters, on each engine.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::{number_of, with_environment};
use crate::counts::Counts;
use crate::services::{Engine, EngineKind, ServiceKind, Services};
use crate::steps::{Steps, cargo, watch};

/// The binaries that use nothing but an engine, registries and servers of their own.
const BINARIES: [&str; 2] = ["slipway-image-builder::engine", "slipway-runner::runner"];

/// The results on each engine, by its name.
#[derive(Debug, Default)]
pub(super) struct EngineCounts(BTreeMap<String, (Counts, Option<String>)>);

impl EngineCounts {
    /// Prints a line for each engine.
    pub(super) fn print(&self) {
        println!("── engine tests");
        for (engine, (counts, reason)) in &self.0 {
            let reason = reason.as_deref().map(|why| format!(": {why}"));
            println!("{engine:<32} {counts}{}", reason.unwrap_or_default());
        }
    }

    /// Counts a line of nextest's output if it is the result of a test on this machine's engine.
    pub(super) fn note(&mut self, line: &str) {
        let Some(is_passed) = result_of_engine_test(line) else {
            return;
        };
        let (counts, _) = self
            .0
            .entry("Docker of this machine".to_owned())
            .or_default();
        if is_passed {
            counts.passed += 1;
        } else {
            counts.failed += 1;
        }
    }
}

/// Whether a line such as `PASS [ 1.0s] (1/9) slipway-runner::runner docker::scripts::…` reports a
/// passed test; `None` if it reports no result of an engine test.
fn result_of_engine_test(line: &str) -> Option<bool> {
    let (word, rest) = line.trim_start().split_once(" [")?;
    let is_passed = match word {
        "PASS" => true,
        "FAIL" | "TIMEOUT" | "SIGNAL" | "ABORT" => false,
        _ => return None,
    };
    let mut words = rest.split_whitespace();
    words.find(|word| BINARIES.contains(word))?;
    let test = words.next()?;
    let in_docker = test.starts_with("docker::") || test.starts_with("docker_");
    in_docker.then_some(is_passed)
}

/// Runs the tests on every engine but the one of this machine, and adds the results to `counts`.
pub(super) async fn run(
    services: &Services,
    steps: &mut Steps,
    counts: &mut Counts,
    by_engine: &mut EngineCounts,
) {
    for kind in EngineKind::ALL {
        let filter = filter(kind);
        let started = match services.missing_reason(ServiceKind::Docker) {
            Some(reason) => Err(anyhow::anyhow!("{reason}")),
            None => Engine::start(kind).await,
        };
        let (name, tested, reason) = match started {
            Ok(engine) => {
                let version = engine.version().await.unwrap_or_default();
                let mut tested = Counts::default();
                let testing = test_on(&engine, services, &filter, &mut tested);
                steps.run(&kind.to_string(), testing).await;
                (format!("{kind} ({version})"), tested, None)
            }
            Err(error) => {
                let reason = format!("{error:#}");
                println!("── {kind}\nskipped: {reason}");
                let tested = Counts {
                    skipped: number_of(&filter).await.unwrap_or(1),
                    ..Counts::default()
                };
                (kind.to_string(), tested, Some(reason))
            }
        };
        *counts += tested;
        by_engine.0.insert(name, (tested, reason));
    }
}

async fn test_on(
    engine: &Engine,
    services: &Services,
    filter: &str,
    tested: &mut Counts,
) -> Result<()> {
    let mut nextest = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
    nextest.args(["-E", filter]);
    with_environment(&mut nextest, services);
    nextest.env("DOCKER_HOST", engine.host());
    let mut summary = None;
    let status = watch(nextest, |line| {
        summary = Counts::from_nextest(line).or(summary);
        true
    })
    .await?;
    *tested = Counts {
        // nextest counts the tests that the filter leaves out.
        skipped: 0,
        ..summary.context("nextest did not print a summary")?
    };
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The tests that run on an engine.
fn filter(kind: EngineKind) -> String {
    let binaries = BINARIES.map(|binary| format!("binary_id({binary})"));
    let all = format!(
        "({}) & {}",
        binaries.join(" | "),
        ServiceKind::Docker.filter()
    );
    match kind {
        // The classic builder is what Docker uses only without BuildKit, so what it does when
        // another process deletes its images is tested on this machine's engine.
        EngineKind::Docker26 | EngineKind::Docker28 | EngineKind::Docker28Containerd => {
            format!("{all} & not test(/^docker_classic::/)")
        }
        EngineKind::Podman4 => {
            format!("{all} & test(/{PODMAN}/) & not test(/{NOT_PODMAN}|{NOT_PODMAN_4}/)")
        }
        EngineKind::Podman5 => format!("{all} & test(/{PODMAN}/) & not test(/{NOT_PODMAN}/)"),
    }
}

/// The modules that need no BuildKit, which Podman does not have. Those on links are left out, because
/// Podman replaces a link at the end of an artifact path by what it leads to.
const PODMAN: &str = "^(docker_archive|docker_base_image|docker::scripts|docker::sources)::";
/// Podman reports an image without a shell in another way.
const NOT_PODMAN: &str = "^docker::scripts::unusable_images";
/// The API of Podman 4.3 loads no compressed archive, not even one of its own.
const NOT_PODMAN_4: &str = "^docker_archive::";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_of_engine_tests_are_counted() {
        for (line, expected) in [
            (
                "        PASS [   1.003s] (  3/200) slipway-image-builder::engine docker_push::a_test",
                Some(true),
            ),
            (
                "        FAIL [   1.003s] slipway-runner::runner docker::scripts::a_test",
                Some(false),
            ),
            (
                "        PASS [   1.003s] slipway-runner::runner job_lifecycle::a_test",
                None,
            ),
            (
                "        PASS [   0.1s] slipway-farm queue::docker::a_test",
                None,
            ),
            ("   Compiling slipway-runner v0.1.0", None),
        ] {
            assert_eq!(result_of_engine_test(line), expected, "{line}");
        }
    }
}
