//! Retries of pulls and pushes that go through the engine.
//!
//! The engine passes on a registry's error as prose and drops the headers. So an error is
//! classified by its words, and an unknown one is final. An overloaded registry is asked directly
//! how long to wait.

use std::time::Duration;

use slipway_domain::backoff::Backoff;
use slipway_outbound::Outbound;
use slipway_registry::Registry;

use crate::engine::failures::shorten;
use crate::request::Login;

/// How often a pull or push is attempted.
const MAX_ATTEMPTS: u32 = 3;
/// The first wait, before jitter; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a registry may ask for.
const MAX_REQUESTED_WAIT: Duration = Duration::from_secs(300);

/// How engines and registries describe transient errors.
const TRANSIENT: &[&str] = &[
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
    // The store of containerd deletes unused content while an image with the same layers is pulled.
    "content digest",
    "lease does not exist",
];
/// How an overloaded registry describes itself.
const OVERLOADED: &[&str] = &["too many requests", "toomanyrequests", "unavailable"];

/// The retry state of one pull or push.
pub(crate) struct RegistryRetry<'a> {
    outbound: &'a Outbound,
    repository: &'a str,
    /// The tag or digest that is pulled or pushed.
    reference: &'a str,
    login: Option<&'a Login>,
    attempt: u32,
    backoff: Backoff,
}

impl<'a> RegistryRetry<'a> {
    pub(crate) fn new(
        outbound: &'a Outbound,
        repository: &'a str,
        reference: &'a str,
        login: Option<&'a Login>,
    ) -> Self {
        Self {
            outbound,
            repository,
            reference,
            login,
            attempt: 1,
            // Jitter: other builds may have been refused at the same moment.
            backoff: Backoff::new(FIRST_WAIT, MAX_REQUESTED_WAIT).with_jitter(0.75, 1.25),
        }
    }

    /// Waits for the next attempt after one that failed with `error`, and passes the reason to
    /// `report`. Returns `false` if there must be no further attempt.
    pub(crate) async fn wait_after(&mut self, error: &str, report: impl Fn(String)) -> bool {
        if self.attempt >= MAX_ATTEMPTS || !is_transient(error) {
            return false;
        }
        self.attempt += 1;
        let mut wait = self.backoff.next_delay(rand::random());
        let requested = if contains_any(OVERLOADED, error) {
            self.requested_wait().await
        } else {
            None
        };
        let why = shorten(error);
        if let Some(requested) = requested {
            let seconds = requested.as_secs();
            report(format!("The registry asks to retry in {seconds} s ({why})"));
            if requested > MAX_REQUESTED_WAIT {
                return false;
            }
            wait = wait.max(requested);
        } else {
            let seconds = wait.as_secs_f64();
            report(format!("Failed ({why}); retrying in {seconds:.1} s"));
        }
        tokio::time::sleep(wait).await;
        true
    }

    /// How long the registry asks to wait, if it does.
    async fn requested_wait(&self) -> Option<Duration> {
        let repository = self.repository.parse().ok()?;
        let login = self.login;
        let login = login.map(|login| (login.username.as_str(), login.password.as_str()));
        let registry = Registry::new(self.outbound, &repository, login).ok()?;
        registry.requested_wait(self.reference).await
    }
}

/// Whether the same request may succeed later.
fn is_transient(error: &str) -> bool {
    contains_any(TRANSIENT, error) || contains_any(OVERLOADED, error)
}

fn contains_any(words: &[&str], error: &str) -> bool {
    let error = error.to_lowercase();
    words.iter().any(|words| error.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transient_errors_are_retried() {
        for transient in [
            "Get \"http://r/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
            "received unexpected HTTP status: 503 Service Unavailable",
            "toomanyrequests: slow down",
            "unexpected EOF",
            "NotFound: content digest sha256:2247: not found",
            "failed to prepare extraction snapshot \"extract-1\": NotFound: lease does not exist: not found",
        ] {
            assert!(is_transient(transient), "{transient}");
        }
        for permanent in [
            "denied: requested access to the resource is denied",
            "no basic auth credentials",
            "unauthorized: authentication required",
            "received unexpected HTTP status: 405 Method Not Allowed",
            "manifest for r/a:b not found: manifest unknown",
        ] {
            assert!(!is_transient(permanent), "{permanent}");
        }
    }
}
