//! The JSON of GitHub's events, which Gitea and Forgejo copy.

use serde::Deserialize;
use slipway_domain::ProjectPath;

use super::Event;
use super::delivery::Delivery;
use super::push::PushFields;

#[derive(Deserialize)]
pub(super) struct PushEvent {
    r#ref: String,
    /// Only GitHub sends it.
    #[serde(default)]
    pub(super) deleted: bool,
    #[serde(default)]
    pub(super) after: String,
    head_commit: Option<Commit>,
    repository: Repository,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
    #[serde(default)]
    fork: bool,
    default_branch: Option<String>,
}

/// The repository of any event, if the event names one.
pub(super) fn repository(delivery: &Delivery) -> Option<ProjectPath> {
    // Events of other kinds have other members, so this reads nothing but the name.
    #[derive(Deserialize)]
    struct AnyEvent {
        repository: Option<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        full_name: String,
    }
    let event: AnyEvent = delivery.parse().ok()?;
    event.repository?.full_name.parse().ok()
}

/// Parses a push. `is_deletion` recognizes the deletion of a branch or tag, which the forges mark
/// differently; `id` is the id of the delivery.
pub(super) fn push(
    delivery: &Delivery,
    is_deletion: impl FnOnce(&PushEvent) -> bool,
    id: Option<&str>,
) -> Event {
    let push: PushEvent = match delivery.parse_verified() {
        Ok(push) => push,
        Err(error) => return Event::Malformed(error.to_string()),
    };
    if push.repository.fork {
        return Event::Ignored("forks are not built".to_owned());
    }
    if is_deletion(&push) {
        return Event::Ignored("deleted branches are not built".to_owned());
    }
    // For an annotated tag, `after` is the tag object; the commit is in `head_commit`.
    let head = push.head_commit.as_ref();
    PushFields {
        repository: &push.repository.full_name,
        default_branch: push.repository.default_branch.as_deref(),
        git_ref: &push.r#ref,
        sha: head.map_or(&push.after, |commit| &commit.id),
        message: head.map_or("", |commit| &commit.message),
        delivery: id,
    }
    .event()
}
