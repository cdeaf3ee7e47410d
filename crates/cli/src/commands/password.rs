//! Setting a password, which is never typed as an argument: others on a machine see those.

use std::io::{BufRead, IsTerminal, Read, stdin};

use anyhow::{Result, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::commands::{Done, Session};

/// The most that is read, in bytes.
const MAX_INPUT: u64 = 8192;

/// Sets the caller's own password, or another user's.
pub(crate) async fn password(session: &Session, user: Option<&str>) -> Result<Done> {
    let client = &session.client;
    let has_one = match user {
        Some(_) => false,
        None => client.current_user().await?.has_password,
    };
    let typed = stdin().is_terminal();
    let _unseen = typed.then(Unseen::begin).transpose()?;
    let mut lines = stdin().lock().take(MAX_INPUT);
    let mut line = |what: &str| {
        if typed {
            session
                .output
                .note(&format!("Type {what}, then press Enter:"))?;
        }
        read_line(&mut lines, what)
    };
    let old = match has_one {
        true => Some(line("the password that you have")?),
        false => None,
    };
    let new = line("the new password")?;
    match user {
        Some(user) => client.set_password(user, &new).await?,
        None => client.change_password(old.as_deref(), &new).await?,
    }
    session
        .output
        .note("The password is set; sessions of before are over.")?;
    Ok(Done::Well)
}

/// Keeps what is typed at a terminal from being shown there, until it is dropped.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(stdin(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that went away.
        let _ = tcsetattr(stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

/// One line, without its end.
fn read_line(input: &mut impl BufRead, what: &str) -> Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let text = line.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        bail!("standard input ends before {what}");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_as_it_is_but_for_its_end() {
        let mut input = &b" old one \r\nnew one"[..];
        assert_eq!(read_line(&mut input, "it").unwrap(), " old one ");
        assert_eq!(read_line(&mut input, "it").unwrap(), "new one");
        assert!(read_line(&mut input, "it").is_err());
    }
}
