//! Limits for connections to PostgreSQL, so that a network that drops packets, or a server that does not
//! answer, fails requests within seconds.
//!
//! Three limits work together. Callers wait no longer than [`ANSWER_WITHIN`]. The system closes a
//! connection on which nothing is acknowledged. The server ends what nobody waits for any more, because
//! an abandoned transaction would hold its locks.

use std::time::Duration;

/// How long a caller waits for the database.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long connecting may take.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// After how much silence of the server the system asks whether it is there, how often, and how many
/// times.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
pub(crate) const KEEPALIVE_RETRIES: u32 = 3;
/// For how long sent bytes may stay unacknowledged (RFC 5482).
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of a session. A statement may take longer than its caller waits, so that a slow one, such
/// as the deletion of a project, still ends.
pub(crate) const SESSION: &str = "SET statement_timeout = '60s'; \
    SET idle_in_transaction_session_timeout = '20s'; \
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3";

/// Adds the limits to the URL of a server, unless it has its own.
pub(crate) fn with_timeouts(url: &str) -> String {
    let parameters = [
        ("connect_timeout", CONNECT_WITHIN.as_secs().to_string()),
        ("keepalives_idle", KEEPALIVE_IDLE.as_secs().to_string()),
        (
            "keepalives_interval",
            KEEPALIVE_INTERVAL.as_secs().to_string(),
        ),
        ("keepalives_count", KEEPALIVE_RETRIES.to_string()),
        ("tcp_user_timeout", USER_TIMEOUT.as_millis().to_string()),
    ];
    let mut url = url.to_owned();
    for (name, value) in parameters {
        let has_own = url
            .split_once('?')
            .is_some_and(|(_, query)| query.split('&').any(|part| part.starts_with(name)));
        if !has_own {
            let separator = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{separator}{name}={value}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_added_unless_the_url_has_its_own() {
        let plain = with_timeouts("postgres://me@host/db");
        assert!(
            plain.starts_with("postgres://me@host/db?connect_timeout=5&keepalives_idle=5"),
            "{plain}"
        );
        let own = with_timeouts("postgres://me@host/db?sslmode=disable&connect_timeout=60");
        assert_eq!(own.matches("connect_timeout").count(), 1, "{own}");
        assert!(
            own.contains("connect_timeout=60&keepalives_idle=5"),
            "{own}"
        );
    }
}
