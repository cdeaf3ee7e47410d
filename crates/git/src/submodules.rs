//! Submodules: what a repository says belongs into it from elsewhere.
//!
//! `git submodule` is not used. It would take what strangers wrote for settings; here only path and
//! address are read, and each submodule is checked out like any other commit.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use slipway_domain::{CommitSha, Submodules};

use crate::checkout::Source;
use crate::command::Git;
use crate::error::{GitError, Refusal};

/// How deep submodules may lie in each other.
const MAX_DEPTH: usize = 6;
/// How many there may be in all.
const MAX_COUNT: usize = 200;

const TOO_DEEP: GitError = GitError::RefusedSubmodules("they lie more than 6 deep in each other");
const TOO_MANY: GitError = GitError::RefusedSubmodules("there are more than 200");
const UNREADABLE: GitError = GitError::RefusedSubmodules(".gitmodules cannot be read");
const ODD_PATH: GitError = GitError::RefusedSubmodules("a path leads out of its repository");

/// A submodule of a commit.
struct Listed {
    path: String,
    url: String,
    sha: CommitSha,
}

impl Git {
    /// Checks out the submodules of what was checked out in `dir`, as far as they are wanted.
    pub(crate) async fn check_out_submodules(
        &self,
        root: &Source,
        dir: &Path,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), GitError> {
        if root.submodules == Submodules::None {
            return Ok(());
        }
        let mut count = 0;
        let mut open = vec![(root.clone(), String::new(), 0)];
        while let Some((outer, place, depth)) = open.pop() {
            let outer_dir = dir.join(&place);
            let listed = self.submodules_of(&outer, &outer_dir).await?;
            if depth == MAX_DEPTH && !listed.is_empty() {
                return Err(TOO_DEEP);
            }
            for inner in listed {
                count += 1;
                if count > MAX_COUNT {
                    return Err(TOO_MANY);
                }
                let place = match place.as_str() {
                    "" => inner.path.clone(),
                    place => format!("{place}/{}", inner.path),
                };
                let of_this = |error| GitError::Submodule {
                    path: place.clone(),
                    error: Box::new(error),
                };
                let inner_dir = place_in(&outer_dir, &inner.path).await?;
                let source = Source {
                    url: outer.url.join(&inner.url).map_err(of_this)?,
                    git_ref: None,
                    sha: inner.sha,
                    submodules: root.submodules,
                };
                say(&format!("Submodule {place}"));
                let checked_out = self.check_out_one(&source, &inner_dir, say).await;
                checked_out.map_err(of_this)?;
                if root.submodules == Submodules::Recursive {
                    open.push((source, place, depth + 1));
                }
            }
        }
        Ok(())
    }

    /// What the commit has as submodules, and `.gitmodules` an address for.
    async fn submodules_of(&self, outer: &Source, dir: &Path) -> Result<Vec<Listed>, GitError> {
        let sha = outer.sha.as_str();
        let failed = |refusal| outer.failed(refusal);
        let call = |args: Vec<String>| self.call(Some(dir), None, self.limits.resolve, args);
        let list = |paths: Vec<String>| {
            let fixed = ["--literal-pathspecs", "ls-tree", "-z", sha, "--"];
            call(fixed.into_iter().map(str::to_owned).chain(paths).collect())
        };
        let about = list(vec![".gitmodules".to_owned()]).await?;
        if !about.map_err(failed)?.starts_with("100") {
            return Ok(Vec::new());
        }
        let blob = format!("{sha}:.gitmodules");
        let fixed = ["config", "--null", "--list", "--no-includes", "--blob"];
        let args = fixed.into_iter().map(str::to_owned).chain([blob]);
        let addresses = match call(args.collect()).await? {
            Ok(text) => addresses(&text)?,
            Err(Refusal::DiskFull) => return Err(GitError::DiskFull),
            Err(_) => return Err(UNREADABLE),
        };
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let tree = list(addresses.keys().cloned().collect()).await?;
        let tree = tree.map_err(failed)?;
        // What is no submodule in the commit, or has no address, is none.
        let submodule = |entry: &str| {
            let (about, path) = entry.split_once('\t')?;
            let sha = about.strip_prefix("160000 commit ")?.parse().ok()?;
            Some(Listed {
                path: path.to_owned(),
                url: addresses.get(path)?.clone(),
                sha,
            })
        };
        Ok(tree.split('\0').filter_map(submodule).collect())
    }
}

/// The addresses of submodules by path, out of what `git config --null --list` says.
fn addresses(text: &str) -> Result<BTreeMap<String, String>, GitError> {
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
    let mut addresses = BTreeMap::new();
    for entry in named.values() {
        let (Some(path), Some(url)) = (entry.get("path"), entry.get("url")) else {
            continue;
        };
        if entry.get("update") == Some(&"none") {
            continue;
        }
        let path = path.trim_end_matches('/');
        if !is_inner(path) {
            return Err(ODD_PATH);
        }
        addresses.insert(path.to_owned(), (*url).to_owned());
    }
    match addresses.len() {
        0..=MAX_COUNT => Ok(addresses),
        _ => Err(TOO_MANY),
    }
}

/// Whether a path stays inside of its repository, and out of git's own directory.
fn is_inner(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty()
        && !path.contains(char::is_control)
        && parts.all(|part| match part {
            Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
            _ => false,
        })
}

/// The directory that git has made for a submodule, with nothing but directories on the way.
async fn place_in(dir: &Path, path: &str) -> Result<std::path::PathBuf, GitError> {
    let mut place = dir.to_owned();
    for part in Path::new(path).components() {
        place.push(part);
        let found = tokio::fs::symlink_metadata(&place).await?;
        if !found.is_dir() {
            return Err(ODD_PATH);
        }
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_are_read_and_nothing_else() {
        let text = "submodule.a.b.path\nlibs/a/\0submodule.a.b.url\n../a\0\
                    submodule.c.path\nc\0submodule.d.url\nhttps://h/d\0\
                    submodule.e.path\ne\0submodule.e.url\nx\0submodule.e.update\nnone\0\
                    core.sshcommand\nid\0submodule.a.b.update\n!id\0";
        let read = addresses(text).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read.get("libs/a").map(String::as_str), Some("../a"));
    }

    #[test]
    fn a_path_stays_inside() {
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
        assert!(addresses(text).is_err());
    }
}
