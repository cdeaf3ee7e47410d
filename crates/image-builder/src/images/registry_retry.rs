//! Another try where a registry may yet do what it was asked, by way of the engine.
//!
//! The engine passes on what a registry said as prose, and keeps the headers to itself. There is
//! nothing but words to go by, and what is not known to pass is final. A registry that has too much
//! to do is asked directly when to come again.

use std::time::Duration;

use slipway_registry::Registry;

use crate::engine::failures::shorten;
use crate::request::Login;

/// How often something is tried before it is given up.
const TRIES: u32 = 3;
/// About how long the first wait is; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest that a registry is obeyed which says when to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What may pass, in the words of engines and registries.
const PASSING: &[&str] = &[
    "connection refused",
    "connection reset",
    "broken pipe",
    "timeout",
    "timed out",
    "temporary failure",
    "server misbehaving",
    "eof",
    "unexpected http status: 5",
    "500 internal server error",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway",
    "blob upload invalid",
    "blob upload unknown",
];
/// What a registry says that has too much to do.
const TOO_MANY: &[&str] = &["too many requests", "toomanyrequests", "unavailable"];

/// The patience with one registry over one image.
pub(crate) struct Patience<'a> {
    repository: &'a str,
    reference: &'a str,
    login: Option<&'a Login>,
    tries: u32,
    wait: Duration,
}

impl<'a> Patience<'a> {
    /// Patience with the registry of `repository` over what is called `reference` there.
    pub(crate) fn new(repository: &'a str, reference: &'a str, login: Option<&'a Login>) -> Self {
        Self {
            repository,
            reference,
            login,
            tries: 1,
            wait: FIRST_WAIT,
        }
    }

    /// Waits for another try after what was tried ended with `error`; `tell` hears of it. There is
    /// none when it answers `false`.
    pub(crate) async fn tries_again(&mut self, error: &str, tell: impl Fn(String)) -> bool {
        if self.tries >= TRIES || !may_pass(error) {
            return false;
        }
        self.tries += 1;
        // Others may have been refused at the same moment.
        let mut pause = self.wait.mul_f64(rand::random_range(0.75..1.25));
        self.wait *= 2;
        let asked = match says(TOO_MANY, error) {
            true => self.asked().await,
            false => None,
        };
        let why = shorten(error);
        if let Some(asked) = asked {
            if asked > LONGEST_WAIT {
                tell(format!(
                    "The registry asks to come again in {} s ({why})",
                    asked.as_secs()
                ));
                return false;
            }
            pause = pause.max(asked);
            tell(format!(
                "The registry asks to come again in {} s ({why})",
                asked.as_secs()
            ));
        } else {
            tell(format!(
                "That failed ({why}); again in {:.1} s",
                pause.as_secs_f64()
            ));
        }
        tokio::time::sleep(pause).await;
        true
    }

    /// How long the registry asks to be left alone.
    async fn asked(&self) -> Option<Duration> {
        let repository = self.repository.parse().ok()?;
        let login = self.login;
        let login = login.map(|login| (login.username.as_str(), login.password.as_str()));
        Registry::new(&repository, login)
            .requested_wait(self.reference)
            .await
    }
}

/// Whether the same may go well a little later.
fn may_pass(reason: &str) -> bool {
    says(PASSING, reason) || says(TOO_MANY, reason)
}

fn says(words: &[&str], reason: &str) -> bool {
    let reason = reason.to_lowercase();
    words.iter().any(|words| reason.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for passing in [
            "Get \"http://r/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
            "received unexpected HTTP status: 503 Service Unavailable",
            "toomanyrequests: slow down",
            "unexpected EOF",
        ] {
            assert!(may_pass(passing), "{passing}");
        }
        for last in [
            "denied: requested access to the resource is denied",
            "no basic auth credentials",
            "unauthorized: authentication required",
            "received unexpected HTTP status: 405 Method Not Allowed",
            "manifest for r/a:b not found: manifest unknown",
        ] {
            assert!(!may_pass(last), "{last}");
        }
    }
}
