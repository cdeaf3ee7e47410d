//! `slipway`: what a developer types.
//!
//! The answer goes to standard output, everything else to standard error. It ends with 0 when all
//! is well, 1 when a build that was followed did not succeed, 2 when it was called wrongly, and 3
//! when what was asked could not be done.

mod args;
mod commands;
mod config;
mod output;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use slipway_client::ClientError;

use crate::args::{Args, Command};
use crate::commands::{Done, Session, builds, login, logs, others, password, projects};
use crate::config::Config;
use crate::output::Output;

/// What was asked could not be done.
const FAILED: u8 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(args).await {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::BuildFailed) => ExitCode::from(1),
        // Whoever read the output has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let line = one_line(&error);
            // Nothing is left to be told when standard error is gone as well.
            let _ = writeln!(std::io::stderr(), "slipway: {line}");
            ExitCode::from(FAILED)
        }
    }
}

async fn run(args: Args) -> anyhow::Result<Done> {
    let config = Config::new(args.config)?;
    let output = Output::new(args.json);
    if let Command::Login(login) = args.command {
        return login::login(&config, login, &output).await;
    }
    let session = Session::open(&config, output)?;
    match args.command {
        Command::Login(_) => Ok(Done::Well),
        Command::Password { user } => password::password(&session, user.as_deref()).await,
        Command::Projects { command } => projects::run(&session, command).await,
        Command::Build(build) => builds::build(&session, *build).await,
        Command::Builds(list) => builds::list(&session, list).await,
        Command::Show { build } => builds::show(&session, build).await,
        Command::Logs { target, follow } => logs::logs(&session, target, follow).await,
        Command::Cancel { target } => builds::cancel(&session, target).await,
        Command::Retry { target } => builds::retry(&session, target).await,
        Command::Runners => others::runners(&session).await,
        Command::Queue => others::queue(&session).await,
        Command::Artifacts { target } => others::artifacts(&session, target).await,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// What went wrong, its deepest cause, and what to do about it.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    let cause = error.root_cause().to_string();
    if !line.contains(&cause) {
        line = format!("{line}: {cause}");
    }
    let advice = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Api { status: 401, .. }) => "; run `slipway login --url URL`",
        Some(ClientError::Unreachable { .. }) => "; check the URL and that the farm is up",
        Some(ClientError::NotAFarm { .. }) => "; check the URL",
        _ => "",
    };
    line.push_str(advice);
    line.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_that_says_what_to_do() {
        let error = anyhow::Error::new(ClientError::Api {
            status: 401,
            code: "unauthorized".to_owned(),
            message: "the token is missing,\nunknown or expired".to_owned(),
        });
        let line = one_line(&error);
        assert!(line.ends_with("run `slipway login --url URL`"), "{line}");
        assert!(!line.contains('\n'));
        let error = anyhow::anyhow!("connection refused").context("cannot reach it");
        assert_eq!(one_line(&error), "cannot reach it: connection refused");
    }
}
