//! Describing a commit of a remote: its author, committer, time and message.

use chrono::{DateTime, FixedOffset, Offset, Utc};
use slipway_domain::repository::commit::MAX_COMMIT_MESSAGE;
use slipway_domain::{Commit, CommitSha, GitRef, Signature};
use std::path::Path;
use std::time::Duration;

use crate::command::{Git, Output};
use crate::error::{GitError, GitFailure};
use crate::remote::RemoteUrl;

/// How much history of each ref is fetched from a server that only serves refs.
const REF_DEPTH: &str = "--depth=50";
/// Fetches a commit without its history.
const ONE_COMMIT: &str = "--depth=1";
/// Fetches commits without directories and files.
const NO_TREES: &str = "--filter=tree:0";

impl Git {
    /// Describes the commit `sha`. `None` if the repository lacks it.
    ///
    /// This fetches only the commit, without files if the server supports filters. From a server
    /// that only serves refs it fetches `git_ref`, if given, and then all refs, with limited history:
    /// an older commit counts as missing.
    ///
    /// # Errors
    /// Returns `RepositoryUnavailable` if the remote cannot be read, and the general errors.
    pub async fn describe(
        &self,
        url: &RemoteUrl,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
    ) -> Result<Option<Commit>, GitError> {
        let dir = self.temporary()?;
        let dir = dir.path();
        // Trees and files can be large, and a description needs neither.
        let limit = self.limits.resolve;
        let fetched = self.fetch_commit_into(dir, url, sha, git_ref, Some(NO_TREES), limit);
        if let Err(failure) = fetched.await? {
            return none_if_missing(url, failure);
        }
        self.commit_in(dir, sha).await
    }

    /// Describes the commit, if it is in the repository in `dir`.
    pub(crate) async fn commit_in(
        &self,
        dir: &Path,
        sha: &CommitSha,
    ) -> Result<Option<Commit>, GitError> {
        let args = ["cat-file", "commit", sha.as_str()];
        let read = self.call(Some(dir), None, self.limits.resolve, args);
        Ok(read.await?.ok().map(|text| parse(sha.clone(), &text)))
    }

    /// Creates a bare repository in `dir` and fetches the commit into it, with `filter` if the server
    /// supports it. Each fetch may take as long as `limit`.
    pub(crate) async fn fetch_commit_into(
        &self,
        dir: &Path,
        url: &RemoteUrl,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
        filter: Option<&str>,
        limit: Duration,
    ) -> Result<Output, GitError> {
        // git cannot fetch between object formats.
        let format = match sha.as_str().len() {
            64 => "--object-format=sha256",
            _ => "--object-format=sha1",
        };
        let init = ["init", "--quiet", "--bare", "--template=", format];
        let created = self.call(Some(dir), None, self.limits.resolve, init);
        if let Err(failure) = created.await? {
            return Ok(Err(failure));
        }
        let commit = [sha.as_str().to_owned()];
        match self
            .fetch_bare(dir, url, ONE_COMMIT, &commit, filter, limit)
            .await?
        {
            Err(GitFailure::Unadvertised) => {}
            output => return Ok(output),
        }
        // The server only serves refs: fetch the tip of the given one, which most likely is the commit,
        // then some history of it, then all refs.
        let all_refs = ["heads", "tags"].map(|kind| format!("+refs/{kind}/*:refs/all/{kind}/*"));
        let given_ref = git_ref.into_iter().flat_map(|name| {
            ["heads", "tags"].map(|kind| vec![format!("+refs/{kind}/{name}:refs/given/{kind}")])
        });
        let given_ref: Vec<_> = given_ref.collect();
        let tips = given_ref
            .iter()
            .map(|wanted| (ONE_COMMIT, wanted.as_slice()));
        let history = given_ref
            .iter()
            .map(|wanted| (REF_DEPTH, wanted.as_slice()));
        let all = [(REF_DEPTH, all_refs.as_slice())];
        for (depth, wanted) in tips.chain(history).chain(all) {
            match self
                .fetch_bare(dir, url, depth, wanted, filter, limit)
                .await?
            {
                Ok(_) if self.has(dir, sha.as_str()).await? => return Ok(Ok(String::new())),
                Ok(_) | Err(GitFailure::Missing | GitFailure::Unadvertised) => {}
                failed => return Ok(failed),
            }
        }
        Ok(Err(GitFailure::Missing))
    }

    /// Fetches `wanted` with `filter`, and without it if the server refuses filters. Most servers
    /// without support for filters ignore them and send everything.
    async fn fetch_bare(
        &self,
        dir: &Path,
        url: &RemoteUrl,
        depth: &str,
        wanted: &[String],
        filter: Option<&str>,
        limit: Duration,
    ) -> Result<Output, GitError> {
        let mut output = Ok(String::new());
        // The second pass runs only if the server refused the filter itself.
        for filter in [filter, None] {
            let fixed = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
            let remote = [depth, "--", url.as_str()];
            let wanted = wanted.iter().map(String::as_str);
            let args = fixed.into_iter().chain(filter).chain(remote).chain(wanted);
            let call = self.call(Some(dir), Some(url), limit, args);
            output = call.await?;
            match &output {
                Err(GitFailure::FilterRefused) => {}
                _ => break,
            }
        }
        Ok(output)
    }
}

fn none_if_missing<T>(url: &RemoteUrl, failure: GitFailure) -> Result<Option<T>, GitError> {
    match failure {
        GitFailure::Missing | GitFailure::Unadvertised => Ok(None),
        GitFailure::DiskFull => Err(GitError::DiskFull),
        failure @ (GitFailure::Other(_) | GitFailure::FilterRefused) => {
            Err(GitError::RepositoryUnavailable {
                url: url.to_string(),
                reason: failure.into_reason(),
            })
        }
    }
}

/// Parses a commit object. Invalid fields become empty, because anybody can write anything there.
fn parse(sha: CommitSha, text: &str) -> Commit {
    // Headers end at the first empty line. Continuation lines of a signature start with a space, so
    // they are not mistaken for headers.
    let (head, message) = text.split_once("\n\n").unwrap_or((text, ""));
    let field = |name: &str| {
        let mut lines = head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
    };
    let parents = head.lines().filter_map(|line| line.strip_prefix("parent "));
    Commit {
        sha,
        parents: parents.filter_map(|parent| parent.parse().ok()).collect(),
        author: signature(field("author").unwrap_or_default()),
        committer: signature(field("committer").unwrap_or_default()),
        message: shortened(message),
    }
}

/// Parses `Name <mail> 1450972281 +0100`.
fn signature(text: &str) -> Signature {
    let (who, when) = text.rsplit_once('>').unwrap_or((text, ""));
    let (name, email) = who.split_once('<').unwrap_or((who, ""));
    let mut when = when.split_ascii_whitespace();
    let seconds = when.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let at = DateTime::<Utc>::from_timestamp(seconds, 0).unwrap_or_default();
    Signature {
        name: without_nul(name.trim()),
        email: without_nul(email.trim()),
        at: at.with_timezone(&offset(when.next().unwrap_or_default())),
    }
}

/// Parses an offset such as `+0130`. An invalid one counts as UTC.
fn offset(text: &str) -> FixedOffset {
    let parsed = || {
        let hours: i32 = text.get(1..3)?.parse().ok()?;
        let minutes: i32 = text.get(3..5)?.parse().ok()?;
        let seconds = (hours * 60 + minutes) * 60;
        if text.starts_with('-') {
            FixedOffset::west_opt(seconds)
        } else {
            FixedOffset::east_opt(seconds)
        }
    };
    parsed().unwrap_or_else(|| Utc.fix())
}

/// The message, cut to the length that is stored.
fn shortened(message: &str) -> String {
    // A cut inside of a character would not be valid UTF-8.
    let end = message.floor_char_boundary(MAX_COMMIT_MESSAGE);
    without_nul(message.get(..end).unwrap_or_default())
}

/// The text without NUL, which PostgreSQL does not store.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(c: char) -> CommitSha {
        c.to_string().repeat(40).parse().unwrap()
    }

    #[test]
    fn parse_reads_parents_signatures_and_message() {
        let (tree, first, second) = (sha('a'), sha('b'), sha('c'));
        let text = format!(
            "tree {tree}\nparent {first}\nparent {second}\n\
             author Ann B. <ann@h> 1450972274 +0100\n\
             committer Bob <> 1450972275 -0330\n\
             gpgsig -----BEGIN\n author Eve <eve@h> 1 +0000\n -----END\n\n\
             Fix it\n\nauthor of all\n"
        );
        let commit = parse(sha('d'), &text);
        assert_eq!(commit.parents, [first, second]);
        assert_eq!(commit.author.name, "Ann B.");
        assert_eq!(commit.author.email, "ann@h");
        assert_eq!(commit.author.at.to_rfc3339(), "2015-12-24T16:51:14+01:00");
        assert_eq!(commit.committer.name, "Bob");
        assert_eq!(commit.committer.email, "");
        let committed = commit.committer.at.to_rfc3339();
        assert_eq!(committed, "2015-12-24T12:21:15-03:30");
        assert_eq!(commit.message, "Fix it\n\nauthor of all\n");
        assert_eq!((commit.title(), commit.short_id()), ("Fix it", "dddddddd"));
    }

    #[test]
    fn parse_leaves_invalid_fields_empty_and_cuts_long_messages() {
        let commit = parse(sha('d'), "author x\ncommitter <a\0b> nan +99");
        assert_eq!(commit.author.name, "x");
        assert_eq!(commit.committer.email, "ab");
        assert_eq!(commit.committer.at.timestamp(), 0);
        assert_eq!((commit.message.as_str(), commit.title()), ("", ""));
        let long = format!("\n\n{}", "é".repeat(MAX_COMMIT_MESSAGE));
        assert_eq!(parse(sha('d'), &long).message.len(), MAX_COMMIT_MESSAGE);
    }
}
