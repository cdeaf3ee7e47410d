//! The fields of a push that all forges have.

use slipway_domain::CommitSha;
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
        // The forge may have repositories and refs that the farm cannot have: in a subgroup of GitLab, or
        // with longer names. That is no error of the sender, who would see the webhook disabled.
        let named = self
            .repository
            .parse()
            .and_then(|project| Ok((project, name.parse()?)));
        let (project, git_ref) = match named {
            Ok(named) => named,
            Err(error) => return Event::Ignored(format!("nothing is built: {error}")),
        };
        // A malformed push is an error only for a verified sender, so it is not returned here.
        match self.sha.parse::<CommitSha>() {
            Ok(sha) => Event::Push(Box::new(Push {
                project,
                default_branch: self.default_branch.and_then(|name| name.parse().ok()),
                git_ref,
                ref_is_tag,
                sha,
                no_cache: self.message.contains(NO_CACHE),
                delivery: self.delivery.map(str::to_owned),
            })),
            Err(error) => Event::Malformed(error.to_string()),
        }
    }
}

/// Whether a sha consists of zeros, which stands for "no commit": the branch was deleted.
pub(super) fn is_zero_sha(sha: &str) -> bool {
    sha.bytes().all(|b| b == b'0')
}
