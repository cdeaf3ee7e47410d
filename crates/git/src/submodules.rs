//! Checks out submodules.
//!
//! `git submodule` is not used, because it reads settings from the repository, which is not trusted.
//! Here only the path and URL of each submodule are read, and it is checked out like any commit.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use slipway_domain::{CommitSha, Submodules};

use crate::checkout::Source;
use crate::command::Git;
use crate::error::{GitError, GitFailure};

/// How deep submodules may be nested.
const MAX_DEPTH: usize = 6;
/// How many submodules a checkout may have.
const MAX_COUNT: usize = 200;

const TOO_DEEP: GitError = GitError::RefusedSubmodules("they are nested more than 6 deep");
const TOO_MANY: GitError = GitError::RefusedSubmodules("there are more than 200");
const UNREADABLE: GitError = GitError::RefusedSubmodules(".gitmodules cannot be read");
const BAD_PATH: GitError = GitError::RefusedSubmodules("a path leads out of its repository");

/// A submodule of a commit.
struct Submodule {
    path: String,
    url: String,
    sha: CommitSha,
}

impl Git {
    /// Checks out the submodules of the commit that was checked out in `dir`, as far as
    /// `root.submodules` asks for them.
    pub(crate) async fn check_out_submodules(
        &self,
        root: &Source,
        dir: &Path,
        log: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        if root.submodules == Submodules::None {
            return Ok(());
        }
        let mut count = 0;
        // A stack instead of recursion keeps the limits in one place.
        let mut stack = vec![(root.clone(), String::new(), 0)];
        while let Some((outer, outer_path, depth)) = stack.pop() {
            let outer_dir = dir.join(&outer_path);
            let submodules = self.submodules_of(&outer, &outer_dir).await?;
            if depth == MAX_DEPTH && !submodules.is_empty() {
                return Err(TOO_DEEP);
            }
            for inner in submodules {
                count += 1;
                // Each one is a fetch, so the number bounds the time of a checkout.
                if count > MAX_COUNT {
                    return Err(TOO_MANY);
                }
                let path = match outer_path.as_str() {
                    "" => inner.path.clone(),
                    outer_path => format!("{outer_path}/{}", inner.path),
                };
                let in_submodule = |error| GitError::Submodule {
                    path: path.clone(),
                    error: Box::new(error),
                };
                let inner_dir = directory_in(&outer_dir, &inner.path).await?;
                let source = Source {
                    url: outer.url.join(&inner.url).map_err(in_submodule)?,
                    // A submodule records a commit only.
                    git_ref: None,
                    sha: inner.sha,
                    submodules: root.submodules,
                };
                log(&format!("Submodule {path}"));
                let checked_out = self.check_out_one(&source, &inner_dir, log).await;
                checked_out.map_err(in_submodule)?;
                if root.submodules == Submodules::Recursive {
                    stack.push((source, path, depth + 1));
                }
            }
        }
        Ok(())
    }

    /// The submodules of the commit that have a URL in `.gitmodules`.
    async fn submodules_of(&self, outer: &Source, dir: &Path) -> Result<Vec<Submodule>, GitError> {
        let sha = outer.sha.as_str();
        let failed = |failure| outer.error(failure);
        let call = |args: Vec<String>| self.call(Some(dir), None, self.limits.resolve, args);
        let list = |paths: Vec<String>| {
            let fixed = ["--literal-pathspecs", "ls-tree", "-z", sha, "--"];
            call(fixed.into_iter().map(str::to_owned).chain(paths).collect())
        };
        let entry = list(vec![".gitmodules".to_owned()]).await?;
        // Only a regular file (mode 100644 or 100755) is read, not a link.
        if !entry.map_err(failed)?.starts_with("100") {
            return Ok(Vec::new());
        }
        let blob = format!("{sha}:.gitmodules");
        // `--no-includes`: an include could read any file of this host.
        let fixed = ["config", "--null", "--list", "--no-includes", "--blob"];
        let args = fixed.into_iter().map(str::to_owned).chain([blob]);
        let urls = match call(args.collect()).await? {
            Ok(text) => parse_urls(&text)?,
            Err(GitFailure::DiskFull) => return Err(GitError::DiskFull),
            Err(_) => return Err(UNREADABLE),
        };
        if urls.is_empty() {
            return Ok(Vec::new());
        }
        let tree = list(urls.keys().cloned().collect()).await?;
        let tree = tree.map_err(failed)?;
        // Mode 160000 is a submodule. Without a URL there is nothing to check out.
        let submodule = |entry: &str| {
            let (fields, path) = entry.split_once('\t')?;
            let sha = fields.strip_prefix("160000 commit ")?.parse().ok()?;
            Some(Submodule {
                path: path.to_owned(),
                url: urls.get(path)?.clone(),
                sha,
            })
        };
        Ok(tree.split('\0').filter_map(submodule).collect())
    }
}

/// Parses the URLs of submodules, by path, from the output of `git config --null --list`.
fn parse_urls(text: &str) -> Result<BTreeMap<String, String>, GitError> {
    let mut named: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    for entry in text.split('\0') {
        let found = entry
            .split_once('\n')
            .and_then(|(key, value)| Some((key.strip_prefix("submodule.")?, value)))
            .and_then(|(key, value)| Some((key.rsplit_once('.')?, value)));
        if let Some(((name, key), value)) = found {
            named.entry(name).or_default().insert(key, value);
        }
    }
    let mut urls = BTreeMap::new();
    for entry in named.values() {
        let (Some(path), Some(url)) = (entry.get("path"), entry.get("url")) else {
            continue;
        };
        // The repository itself excludes the submodule from checkouts.
        if entry.get("update") == Some(&"none") {
            continue;
        }
        // The path is later joined to a directory, so it must stay inside of it.
        let path = path.trim_end_matches('/');
        if !is_inner(path) {
            return Err(BAD_PATH);
        }
        urls.insert(path.to_owned(), (*url).to_owned());
    }
    match urls.len() {
        0..=MAX_COUNT => Ok(urls),
        _ => Err(TOO_MANY),
    }
}

/// Whether a path stays inside of its repository and out of `.git`.
fn is_inner(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty()
        && !path.contains(char::is_control)
        && parts.all(|part| match part {
            Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
            _ => false,
        })
}

/// The directory that git created for a submodule. All components must be directories: a link could
/// lead out of the checkout.
async fn directory_in(dir: &Path, path: &str) -> Result<std::path::PathBuf, GitError> {
    let mut directory = dir.to_owned();
    for part in Path::new(path).components() {
        directory.push(part);
        let metadata = tokio::fs::symlink_metadata(&directory).await?;
        if !metadata.is_dir() {
            return Err(BAD_PATH);
        }
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_urls_reads_paths_and_urls_and_no_other_settings() {
        let text = "submodule.a.b.path\nlibs/a/\0submodule.a.b.url\n../a\0\
                    submodule.c.path\nc\0submodule.d.url\nhttps://h/d\0\
                    submodule.e.path\ne\0submodule.e.url\nx\0submodule.e.update\nnone\0\
                    core.sshcommand\nid\0submodule.a.b.update\n!id\0";
        let urls = parse_urls(text).unwrap();
        assert_eq!(urls.len(), 1);
        assert_eq!(urls.get("libs/a").map(String::as_str), Some("../a"));
    }

    #[test]
    fn a_path_that_leads_out_of_the_repository_is_refused() {
        assert!(is_inner("a") && is_inner("libs/a.git/b"));
        for bad in [
            "",
            "/etc",
            "../x",
            "a/../../x",
            ".git/hooks",
            "a/.GIT",
            "a\nb",
        ] {
            assert!(!is_inner(bad), "{bad}");
        }
        let text = "submodule.a.path\n.git/hooks\0submodule.a.url\nhttps://h/x\0";
        assert!(parse_urls(text).is_err());
    }
}
