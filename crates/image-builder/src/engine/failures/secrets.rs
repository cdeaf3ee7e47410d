//! Steps that require a secret or an SSH agent which the build does not provide.

use super::FailedStep;
use crate::error::BuildError;

/// How engines report that there is no SSH agent.
const NO_AGENT: [&str; 4] = [
    "no ssh forwarded",
    "no SSH forwarded",
    "unset ssh forward key",
    "no SSH key",
];

/// The error of a step that requires a secret or an agent which the build does not provide.
pub(super) fn missing_secret(message: &str, step: Option<&FailedStep>) -> Option<BuildError> {
    let step = step?;
    // A command may print any of these messages; only a step with a mount can mean them.
    if !step.name.contains("--mount=") {
        return None;
    }
    let is_reported = |words: &str| message.contains(words) || step.error.contains(words);
    let (requirement, advice) = if NO_AGENT.into_iter().any(is_reported) {
        let advice = "name the variable with the private key under ssh";
        ("an SSH agent".to_owned(), advice)
    } else {
        let secret = [message, &step.error].into_iter().find_map(secret_in)?;
        let advice = "name its variable under secrets";
        (format!("the secret {secret}"), advice)
    };
    Some(BuildError::SecretNotProvided {
        step: step.name.clone(),
        requirement,
        advice,
    })
}

/// The id in a message such as `secret npm: not found`.
fn secret_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("secret ")?;
    let id = rest.split([' ', ':']).next().filter(|id| !id.is_empty())?;
    rest[id.len()..]
        .contains("not found")
        .then(|| id.to_owned())
}
