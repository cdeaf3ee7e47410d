//! `slipway-coordinator`: serves the farm, or migrates its database.

use std::io::IsTerminal;

use clap::{Parser, Subcommand};
use slipway_coordinator::Config;
use slipway_farm::Clock;
use tokio::signal::unix::{SignalKind, signal};

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
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("SLIPWAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,actix_server=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match arguments.command {
        Command::Serve(config) => serve(&config).await,
        Command::Migrate(config) => {
            let applied = slipway_coordinator::migrate(&config).await?;
            tracing::info!(
                applied,
                "The database is up to date; applied {applied} migrations"
            );
            Ok(())
        }
    }
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let coordinator = slipway_coordinator::start(config, Clock::system()).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("Shutting down");
    coordinator.stop().await
}
