//! The `git` command line, without the configuration of the user and of the machine.

use std::path::Path;
use std::process::Command;

/// A `git` command with `home` as the home directory, a fixed author and a fixed time.
pub(super) fn command(home: &Path) -> Command {
    const WHEN: &str = "2026-01-01T12:00:00Z";
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "Test")
            .env(format!("GIT_{role}_EMAIL"), "test@example.com")
            .env(format!("GIT_{role}_DATE"), WHEN);
    }
    command
}
