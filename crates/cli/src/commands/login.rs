//! `slipway login`.

use std::io::{IsTerminal, Read, stdin};
use std::path::Path;

use anyhow::{Context, Result, bail};
use slipway_client::Client;

use crate::args::Login;
use crate::commands::Outcome;
use crate::config::{Config, Credentials, TOKEN, non_empty};
use crate::output::Output;

/// The maximum number of bytes to read for a token.
const MAX_TOKEN: u64 = 4096;

/// Stores the URL and the token after a request with them has succeeded.
pub(crate) async fn login(config: &Config, args: Login, output: &Output) -> Result<Outcome> {
    // Before the token is asked for and sent.
    config.check_replaceable()?;
    let token = match (args.token, &args.token_file, non_empty(TOKEN)) {
        (Some(token), _, _) => token,
        (None, Some(file), _) if file == Path::new("-") => from_stdin(output)?,
        (None, Some(file), _) => from_file(file)?,
        (None, None, Some(token)) => token,
        (None, None, None) => from_stdin(output)?,
    };
    let token = token.trim().to_owned();
    let user = Client::new(&args.url, &token)?.current_user().await?;
    let url = args.url;
    config.store(&Credentials { url, token })?;
    let place = config.path().display().to_string();
    output.value(&user, |user| {
        let scopes = user.scopes.join(", ");
        format!(
            "Logged in as {} ({scopes}); stored in {place}",
            user.user.name
        )
    })?;
    Ok(Outcome::Succeeded)
}

fn from_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

fn from_stdin(output: &Output) -> Result<String> {
    if stdin().is_terminal() {
        output.note("Paste a token, then press Enter:")?;
        let mut line = String::new();
        stdin().read_line(&mut line)?;
        return Ok(line);
    }
    let mut text = String::new();
    stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
    if text.trim().is_empty() {
        bail!(
            "no token given: use --token-file FILE, set {TOKEN}, or pass the token on standard input"
        );
    }
    Ok(text)
}
