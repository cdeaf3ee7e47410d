//! Asking a remote what a commit is: who made it, when, and why.

use chrono::{DateTime, FixedOffset, Offset, Utc};
use slipway_domain::repository::commit::MAX_COMMIT_MESSAGE;
use slipway_domain::{Commit, CommitSha, GitRef, Signature};
use std::path::Path;

use crate::command::{Answer, Git};
use crate::error::{GitError, Refusal};
use crate::remote::RemoteUrl;

/// How many commits of each ref are fetched from a server that hands out refs only.
const SOME_DEPTH: &str = "--depth=50";
/// Commits alone, without the files.
const NO_FILES: &str = "--filter=tree:0";

impl Git {
    /// What is to be known of the commit `sha`; `None` when the repository lacks it.
    ///
    /// The one commit is asked for, without any file where the server can do that. A server that
    /// hands out refs only is asked for `git_ref`, if that is known, then for all of them, with
    /// some of their history: a commit further back counts as missing.
    ///
    /// # Errors
    /// `RepositoryUnavailable` when the remote does not answer, and the general ones.
    pub async fn describe(
        &self,
        url: &RemoteUrl,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
    ) -> Result<Option<Commit>, GitError> {
        let dir = self.temporary()?;
        let dir = dir.path();
        let fetched = self.fetch_commit_into(dir, url, sha, git_ref, Some(NO_FILES));
        if let Err(refusal) = fetched.await? {
            return missing_or_error(url, refusal);
        }
        self.commit_in(dir, sha).await
    }

    /// The commit, if it is in `dir`.
    pub(crate) async fn commit_in(
        &self,
        dir: &Path,
        sha: &CommitSha,
    ) -> Result<Option<Commit>, GitError> {
        let args = ["cat-file", "commit", sha.as_str()];
        let read = self.call(Some(dir), None, self.limits.resolve, args);
        Ok(read.await?.ok().map(|text| parse(sha.clone(), &text)))
    }

    /// When the commit that is checked out in `dir` was made, in seconds after the beginning of 1970;
    /// `None` when it does not tell.
    ///
    /// # Errors
    /// The general ones.
    pub async fn commit_time(&self, dir: &Path) -> Result<Option<i64>, GitError> {
        let args = ["log", "-1", "--no-show-signature", "--format=%ct"];
        let told = self
            .call(Some(dir), None, self.limits.resolve, args)
            .await?;
        Ok(told.ok().and_then(|text| text.trim().parse().ok()))
    }

    /// Makes `dir` a bare repository and brings the commit into it, if it is to be had at all,
    /// without what `filter` leaves out.
    pub(crate) async fn fetch_commit_into(
        &self,
        dir: &Path,
        url: &RemoteUrl,
        sha: &CommitSha,
        git_ref: Option<&GitRef>,
        filter: Option<&str>,
    ) -> Result<Answer, GitError> {
        let format = match sha.as_str().len() {
            64 => "--object-format=sha256",
            _ => "--object-format=sha1",
        };
        let init = ["init", "--quiet", "--bare", "--template=", format];
        let made = self.call(Some(dir), None, self.limits.resolve, init);
        if let Err(refusal) = made.await? {
            return Ok(Err(refusal));
        }
        let alone = [sha.as_str().to_owned()];
        match self
            .fetch_bare(dir, url, "--depth=1", &alone, filter)
            .await?
        {
            Err(Refusal::Unadvertised) => {}
            answer => return Ok(answer),
        }
        let everything = ["heads", "tags"].map(|kind| format!("+refs/{kind}/*:refs/all/{kind}/*"));
        let known = git_ref.into_iter().flat_map(|name| {
            ["heads", "tags"].map(|kind| vec![format!("+refs/{kind}/{name}:refs/known/{kind}")])
        });
        for wanted in known.chain([everything.to_vec()]) {
            match self
                .fetch_bare(dir, url, SOME_DEPTH, &wanted, filter)
                .await?
            {
                Ok(_) if self.has(dir, sha.as_str()).await? => return Ok(Ok(String::new())),
                Ok(_) | Err(Refusal::NotThere | Refusal::Unadvertised) => {}
                refused => return Ok(refused),
            }
        }
        Ok(Err(Refusal::NotThere))
    }

    /// Fetches `wanted`, without what `filter` leaves out unless the server refuses that. Most
    /// servers that cannot do so only say so, and send all.
    async fn fetch_bare(
        &self,
        dir: &Path,
        url: &RemoteUrl,
        depth: &str,
        wanted: &[String],
        filter: Option<&str>,
    ) -> Result<Answer, GitError> {
        let mut answer = Ok(String::new());
        for filter in [filter, None] {
            let fixed = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
            let remote = [depth, "--", url.as_str()];
            let wanted = wanted.iter().map(String::as_str);
            let args = fixed.into_iter().chain(filter).chain(remote).chain(wanted);
            let call = self.call(Some(dir), Some(url), self.limits.resolve, args);
            answer = call.await?;
            match &answer {
                Err(Refusal::Other(why)) if why.contains("filter") => {}
                _ => break,
            }
        }
        Ok(answer)
    }
}

fn missing_or_error<T>(url: &RemoteUrl, refusal: Refusal) -> Result<Option<T>, GitError> {
    match refusal {
        Refusal::NotThere | Refusal::Unadvertised => Ok(None),
        Refusal::DiskFull => Err(GitError::DiskFull),
        Refusal::Other(reason) => Err(GitError::RepositoryUnavailable {
            url: url.to_string(),
            reason,
        }),
    }
}

/// Reads a commit object. What is odd in it stays empty: strangers wrote it.
fn parse(sha: CommitSha, text: &str) -> Commit {
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

/// Reads `Name <mail> 1450972281 +0100`.
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

/// Reads `+0130`; UTC for what is none.
fn offset(text: &str) -> FixedOffset {
    let read = || {
        let hours: i32 = text.get(1..3)?.parse().ok()?;
        let minutes: i32 = text.get(3..5)?.parse().ok()?;
        let seconds = (hours * 60 + minutes) * 60;
        match text.starts_with('-') {
            true => FixedOffset::west_opt(seconds),
            false => FixedOffset::east_opt(seconds),
        }
    };
    read().unwrap_or_else(|| Utc.fix())
}

/// A message of a length that is kept.
fn shortened(message: &str) -> String {
    let end = message.floor_char_boundary(MAX_COMMIT_MESSAGE);
    without_nul(message.get(..end).unwrap_or_default())
}

/// Text that every database takes.
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
    fn a_commit_is_read_with_all_that_belongs_to_it() {
        let (tree, mother, father) = (sha('a'), sha('b'), sha('c'));
        let text = format!(
            "tree {tree}\nparent {mother}\nparent {father}\n\
             author Ann B. <ann@h> 1450972274 +0100\n\
             committer Bob <> 1450972275 -0330\n\
             gpgsig -----BEGIN\n author Eve <eve@h> 1 +0000\n -----END\n\n\
             Fix it\n\nauthor of all\n"
        );
        let commit = parse(sha('d'), &text);
        assert_eq!(commit.parents, [mother, father]);
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
    fn what_is_odd_stays_empty_and_what_is_long_is_cut() {
        let commit = parse(sha('d'), "author x\ncommitter <a\0b> nan +99");
        assert_eq!(commit.author.name, "x");
        assert_eq!(commit.committer.email, "ab");
        assert_eq!(commit.committer.at.timestamp(), 0);
        assert_eq!((commit.message.as_str(), commit.title()), ("", ""));
        let long = format!("\n\n{}", "é".repeat(MAX_COMMIT_MESSAGE));
        assert_eq!(parse(sha('d'), &long).message.len(), MAX_COMMIT_MESSAGE);
    }
}
