//! The binary: sets up logging and TLS, and runs the command.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use slipway_runner::cli::{Cli, main as run};
use tracing_subscriber::EnvFilter;

/// What is logged if the variable `SLIPWAY_LOG` does not say otherwise.
const DEFAULT_LOG: &str = "info";

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::from_arguments();
    start_log();
    // It fails only if a provider is already installed, and then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_log() {
    let chosen = std::env::var("SLIPWAY_LOG").unwrap_or_default();
    let filter = if chosen.is_empty() {
        Ok(EnvFilter::new(DEFAULT_LOG))
    } else {
        EnvFilter::try_new(&chosen)
    };
    let invalid = filter.as_ref().err().map(ToString::to_string);
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // The reader of standard error may end before this program: that must not stop it.
        .log_internal_errors(false)
        .init();
    if let Some(error) = invalid {
        tracing::warn!("SLIPWAY_LOG is {chosen:?}, which is invalid: {error}");
    }
}
