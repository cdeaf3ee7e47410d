//! `slipway`: the command line for developers.
//!
//! Results go to standard output, everything else to standard error. The exit status is 0 on
//! success, 1 if a followed build or job did not succeed, 2 for wrong usage, and 3 for other errors.

mod args;
mod commands;
mod config;
mod output;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use slipway_client::ClientError;

use crate::args::{Args, Command};
use crate::commands::{
    Outcome, Session, artifacts, builds, login, logs, password, projects, queue, runners,
};
use crate::config::Config;
use crate::output::Output;

/// The exit status of a command that failed.
const FAILED: u8 = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::from_arguments();
    match run(args).await {
        Ok(Outcome::Succeeded) => ExitCode::SUCCESS,
        Ok(Outcome::BuildFailed) => ExitCode::from(1),
        // The reader of the output has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let line = one_line(&error);
            // Without standard error there is nobody to report to.
            let _ = writeln!(std::io::stderr(), "slipway: {line}");
            ExitCode::from(FAILED)
        }
    }
}

async fn run(args: Args) -> anyhow::Result<Outcome> {
    let config = Config::new(args.config)?;
    let output = Output::new(args.json);
    if let Command::Login(login) = args.command {
        return login::login(&config, login, &output).await;
    }
    let session = Session::open(&config, output)?;
    match args.command {
        // Handled above, because it needs no stored login.
        Command::Login(_) => Ok(Outcome::Succeeded),
        Command::Password { user } => password::password(&session, user.as_deref()).await,
        Command::RevokeAll { user } => password::revoke_all(&session, user.as_deref()).await,
        Command::Projects { command } => projects::run(&session, command).await,
        Command::Build(build) => builds::build(&session, *build).await,
        Command::Builds(list) => builds::list(&session, list).await,
        Command::Show { build } => builds::show(&session, build).await,
        Command::Logs { target, follow } => logs::logs(&session, target, follow).await,
        Command::Play { job } => builds::play(&session, job).await,
        Command::Cancel { target } => builds::cancel(&session, target).await,
        Command::Retry { target } => builds::retry(&session, target).await,
        Command::Runners => runners::list(&session).await,
        Command::Queue => queue::list(&session).await,
        Command::Artifacts { target } => artifacts::list(&session, target).await,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// The error, its root cause, and what to do about it, on one line.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    let cause = error.root_cause().to_string();
    if !line.contains(&cause) {
        line = format!("{line}: {cause}");
    }
    let advice = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Api { status: 401, .. }) => "; run `slipway login --url URL`",
        Some(ClientError::Unreachable { .. }) => "; check the URL, and whether the farm is running",
        _ => "",
    };
    line.push_str(advice);
    line.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_advice() {
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
