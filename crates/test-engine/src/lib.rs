//! What tests do with the Docker Engine beside the program: by its own command, and with images that
//! need no registry.
//!
//! Whatever does not succeed panics with what the command said.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

use std::fs::{self, File};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The beginning of a Dockerfile: an image with a shell and the commands that are part of it, of the
/// file `busybox` in the build context.
pub const SHELL: &str = "FROM scratch\nCOPY busybox /bin/sh\n";

/// Runs the `docker` command; returns what it prints, without space around it.
pub fn docker(arguments: &[&str]) -> String {
    let output = call(arguments);
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn call(arguments: &[&str]) -> Output {
    // The command builds with BuildKit only where a plug-in is installed.
    let output = Command::new("docker")
        .env("DOCKER_BUILDKIT", "0")
        .args(arguments)
        .output();
    output.unwrap_or_else(|error| panic!("docker {arguments:?}: {error}"))
}

/// Removes an image's name, and the image with its last one; by its id, the image with all its names.
///
/// A runner that made the image may be pruning what has no name. The engine then finds the image gone
/// in the middle of this, which is as good.
pub fn forget(image: &str) {
    let output = call(&["image", "rm", "--force", image]);
    let said = String::from_utf8_lossy(&output.stderr);
    let is_gone = output.status.success() || said.contains("unrecognized image ID");
    assert!(is_gone, "{image}: {said}");
}

/// Builds an image called `name`; `busybox` is in its build context.
///
/// Nothing is looked for in the cache: what is found there may be removed meanwhile by a test beside.
pub fn build(name: &str, dockerfile: &str) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
    fs::copy("/bin/busybox", dir.path().join("busybox")).unwrap();
    let context = dir.path().to_str().unwrap();
    docker(&["build", "--no-cache", "-q", "-t", name, context]);
}

/// An image of [`SHELL`], which the engine has. It is made once for all tests: a second one would take
/// the name from the first, which goes then while others build upon it.
pub fn shell_image() -> &'static str {
    const NAME: &str = "slipway-test/shell:1";
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        let lock = File::create(std::env::temp_dir().join("slipway-test-shell.lock"));
        let lock = lock.unwrap();
        lock.lock().unwrap();
        if !call(&["image", "inspect", NAME]).status.success() {
            build(NAME, SHELL);
        }
    });
    NAME
}
