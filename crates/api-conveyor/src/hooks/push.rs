//! The fields of a push that all forges have.

use slipway_domain::{CommitSha, GitRef, Invalid};
use slipway_farm::Push;

use super::Event;

/// A marker in a commit's message that makes every build step run again.
const NO_CACHE: &str = "[docker nocache]";

/// A push as its forge describes it, not yet validated.
pub(super) struct PushFields<'a> {
    pub(super) repository: &'a str,
    pub(super) default_branch: Option<&'a str>,
    pub(super) git_ref: &'a str,
    pub(super) sha: &'a str,
    pub(super) message: &'a str,
    /// The id of the delivery, which stays the same when the forge sends it again.
    pub(super) delivery: Option<&'a str>,
}

impl PushFields<'_> {
    /// The event: a push to a branch or to a tag. Other refs, such as notes, are ignored.
    pub(super) fn event(&self) -> Event {
        let (name, ref_is_tag) = if let Some(branch) = self.git_ref.strip_prefix("refs/heads/") {
            (branch, false)
        } else if let Some(tag) = self.git_ref.strip_prefix("refs/tags/") {
            (tag, true)
        } else {
            let git_ref = self.git_ref;
            return Event::Ignored(format!("{git_ref} is not a branch or a tag: ignored"));
        };
        // A malformed push is an error only for a verified sender, so it is not returned here.
        match self.validated(name, ref_is_tag) {
            Ok(push) => Event::Push(Box::new(push)),
            Err(error) => Event::Malformed(error.to_string()),
        }
    }

    fn validated(&self, name: &str, ref_is_tag: bool) -> Result<Push, Invalid> {
        Ok(Push {
            project: self.repository.parse()?,
            default_branch: self.default_branch.and_then(|name| name.parse().ok()),
            git_ref: name.parse::<GitRef>()?,
            ref_is_tag,
            sha: self.sha.parse::<CommitSha>()?,
            no_cache: self.message.contains(NO_CACHE),
            delivery: self.delivery.map(str::to_owned),
        })
    }
}

/// Whether a sha consists of zeros, which stands for "no commit": the branch was deleted.
pub(super) fn is_zero_sha(sha: &str) -> bool {
    sha.bytes().all(|b| b == b'0')
}
