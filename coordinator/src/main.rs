//! `slipway-coordinator`: serves the farm, or migrates its database.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use slipway_coordinator::Config;
use slipway_farm::{Clock, FailPoints};
use slipway_tasks::{StopSignal, StopSignals};
use tracing_subscriber::EnvFilter;

/// What is logged if the variable `SLIPWAY_LOG` does not say otherwise.
const DEFAULT_LOG: &str = "info,actix_server=warn";

/// The variables that are read and have no flag.
const ENVIRONMENT: &str = "\
Environment:
  SLIPWAY_LOG
          What is logged: `warn`, `info` or `debug`, also for one crate, as in
          `info,slipway_farm=debug` [default: info]
  SLIPWAY_ADMIN_TOKEN, SLIPWAY_REGISTRATION_TOKEN
          The first administrator's token and the first registration token of runners. Only read
          while the database is empty [default: generated, and written to the files `admin-token` and
          `registration-token` in the data directory]
  SLIPWAY_ADMIN_TOKEN_FILE, SLIPWAY_REGISTRATION_TOKEN_FILE
          Files that contain these tokens
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
          The credentials for a blob store in a bucket
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR
          The proxies and the certificates for requests to git hosts, GitHub and buckets
  PATH, SSH_AUTH_SOCK
          Where `git` and `ssh` are found, and the ssh agent that they use";

/// The coordinator of a Slipway farm.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the APIs and the runners.
    Serve(Config),
    /// Applies pending migrations, and exits.
    Migrate(Config),
}

#[actix_web::main]
async fn main() -> anyhow::Result<ExitCode> {
    let matches = documented(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    start_log();
    match arguments.command {
        Command::Serve(config) => serve(&config).await,
        Command::Migrate(config) => {
            let applied = slipway_coordinator::migrate(&config).await?;
            tracing::info!(
                applied,
                "The database is up to date; applied {applied} migrations"
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Adds the variables without a flag to the help of the program and of each command.
fn documented(command: clap::Command) -> clap::Command {
    command.after_help(ENVIRONMENT).mut_subcommands(documented)
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

async fn serve(config: &Config) -> anyhow::Result<ExitCode> {
    let mut signals = StopSignals::install()?;
    let started = slipway_coordinator::start(config, Clock::system(), FailPoints::default());
    let coordinator = tokio::select! {
        started = started => started?,
        // Nothing is served yet, so nothing has to finish.
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    signals.next().await;
    tracing::info!("Shutting down; a second signal ends the program at once");
    let stopping = coordinator.stop();
    let second = async { while signals.next().await != StopSignal::Requested {} };
    tokio::select! {
        stopped = stopping => stopped.map(|()| ExitCode::SUCCESS),
        () = second => {
            tracing::warn!("Ended without waiting for requests in progress");
            // Waiting for tasks is what the second signal is meant to prevent. Everything that was
            // acknowledged is stored.
            std::process::exit(1)
        }
    }
}
