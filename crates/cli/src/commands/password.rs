//! `slipway password` and `slipway revoke-all`. Passwords are not read from arguments, which other users of the machine can
//! see.

use std::io::{BufRead, IsTerminal, Read, stdin};

use anyhow::{Result, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::commands::{Outcome, Session};

/// The maximum number of bytes to read.
const MAX_INPUT: u64 = 8192;

/// Sets the password of the calling user, or of `user`.
pub(crate) async fn password(session: &Session, user: Option<&str>) -> Result<Outcome> {
    let client = &session.client;
    let has_password = match user {
        Some(_) => false,
        None => client.current_user().await?.has_password,
    };
    let is_terminal = stdin().is_terminal();
    // Until the end of this function, so that no typed password is shown.
    let _hidden = is_terminal.then(HiddenInput::start).transpose()?;
    let mut lines = stdin().lock().take(MAX_INPUT);
    let mut line = |what: &str| {
        if is_terminal {
            session
                .output
                .note(&format!("Type {what}, then press Enter:"))?;
        }
        read_line(&mut lines, what)
    };
    let old = if has_password {
        Some(line("the current password")?)
    } else {
        None
    };
    let new = line("the new password")?;
    match user {
        Some(user) => client.set_password(user, &new).await?,
        None => client.change_password(old.as_deref(), &new).await?,
    }
    session
        .output
        .note("The password is set. Sessions with an earlier password have ended.")?;
    Ok(Outcome::Succeeded)
}

/// Revokes all credentials of the calling user, or of `user`.
pub(crate) async fn revoke_all(session: &Session, user: Option<&str>) -> Result<Outcome> {
    session.client.revoke_credentials(user).await?;
    session.output.note(match user {
        Some(_) => "All credentials of the user are revoked, and the password is deleted.",
        None => "All your credentials are revoked. Sign in again with `slipway login`.",
    })?;
    Ok(Outcome::Succeeded)
}

/// Stops the terminal from showing input, until it is dropped.
struct HiddenInput(Termios);

impl HiddenInput {
    fn start() -> Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        hidden.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(stdin(), SetArg::TCSAFLUSH, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // This fails if the terminal is gone, and then there is nothing to restore.
        let _ = tcsetattr(stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

/// Reads one line, without its line ending.
fn read_line(input: &mut impl BufRead, what: &str) -> Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let text = line.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        bail!("standard input does not contain {what}");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_ending_is_removed() {
        let mut input = &b" old one \r\nnew one"[..];
        assert_eq!(read_line(&mut input, "it").unwrap(), " old one ");
        assert_eq!(read_line(&mut input, "it").unwrap(), "new one");
        assert!(read_line(&mut input, "it").is_err());
    }
}
