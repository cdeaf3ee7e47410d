//! Helpers for tests that use the Docker Engine next to the program under test: they run the
//! `docker` command and build images that need no registry.
//!
//! All of them panic with the command's output if it fails.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at an unexpected error"
)]

use std::fs::{self, File};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The first lines of a Dockerfile: an image with a shell and its built-in commands, made from the
/// file `busybox` in the build context.
pub const SHELL: &str = "FROM scratch\nCOPY busybox /bin/sh\n";

/// Runs the `docker` command; returns its output without surrounding whitespace.
pub fn docker(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn run(arguments: &[&str]) -> Output {
    // Newer commands build with BuildKit only if a plug-in is installed, which test hosts may lack.
    let output = Command::new("docker")
        .env("DOCKER_BUILDKIT", "0")
        .args(arguments)
        .output();
    output.unwrap_or_else(|error| panic!("docker {arguments:?}: {error}"))
}

/// Pulls an image. The store of containerd may delete unused content at the same time, which the
/// second attempt finds missing.
pub fn pull(image: &str) {
    let first = run(&["pull", "-q", image]);
    if !first.status.success() {
        let error = String::from_utf8_lossy(&first.stderr);
        assert!(error.contains("content digest"), "{image}: {error}");
        docker(&["pull", "-q", image]);
    }
}

/// Whether the engine is Podman, which has only one builder.
pub fn is_podman() -> bool {
    docker(&["version", "--format", "{{json .Server}}"]).contains("Podman")
}

/// Deletes an image by its name or id. An image with several names is deleted only by its id, or
/// with its last name.
///
/// A runner may prune the image at the same time. If the engine then finds the image already
/// deleted, that is no failure.
pub fn remove_image(image: &str) {
    let output = run(&["image", "rm", "--force", image]);
    let error = String::from_utf8_lossy(&output.stderr);
    let is_deleted = output.status.success() || error.contains("unrecognized image ID");
    assert!(is_deleted, "{image}: {error}");
}

/// Builds an image called `name`, with `busybox` in its build context.
///
/// The cache is not used: a test that runs at the same time may delete what is found there.
pub fn build(name: &str, dockerfile: &str) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    fs::copy("/bin/busybox", dir.path().join("busybox")).unwrap();
    let context = dir.path().to_str().unwrap();
    docker(&["build", "--no-cache", "-q", "-t", name, context]);
}

/// The name of an image of [`SHELL`]. It is built once for all tests: a second build would take the
/// name from the first image, which could then be deleted while tests build on it.
pub fn shell_image() -> &'static str {
    const NAME: &str = "slipway-test/shell:1";
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Each test runs in a process of its own, so the lock is a file.
        let lock = File::create(std::env::temp_dir().join("slipway-test-shell.lock"));
        let lock = lock.unwrap();
        lock.lock().unwrap();
        if !run(&["image", "inspect", NAME]).status.success() {
            build(NAME, SHELL);
        }
    });
    NAME
}
