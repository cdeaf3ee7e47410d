//! Real repositories behind real smart HTTP on loopback.
//!
//! The server hands each request to `git http-backend`, so what a client meets is git itself. The
//! configuration of the user and of the machine play no part, and commits are made by a fixed author
//! at a fixed time: the same commits have the same ids in every run.

mod http;
mod lfs;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use self::http::{Access, Server};

/// A server of git repositories, which ends with this value.
#[derive(Debug)]
pub struct GitServer {
    access: Arc<Access>,
    server: Server,
    directory: TempDir,
}

impl GitServer {
    /// Starts a server without repositories, which serves everybody.
    ///
    /// # Panics
    /// When there is no directory or port for it.
    #[must_use]
    pub fn start() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("slipway-git-")
            .tempdir()
            .expect("a directory for repositories");
        let served = directory.path().join("served");
        for name in ["home", "served", "work", "lfs-objects"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let access = Arc::new(Access::default());
        let server = Server::start(served, Arc::clone(&access));
        Self {
            access,
            server,
            directory,
        }
    }

    /// Makes an empty repository, such as `acme/api`, whose default branch is `main`.
    ///
    /// # Panics
    /// When it exists, or git is not installed.
    #[must_use]
    pub fn repo(&self, name: &str) -> Repo {
        let repo = Repo {
            home: self.directory.path().join("home"),
            work: self.directory.path().join("work").join(name),
            url: format!("{}/{name}.git", self.url()),
            served: self.served().join(name).with_added_extension("git"),
            large: lfs::objects(&self.served()),
        };
        let served = repo.served.clone();
        assert!(!served.exists(), "there is a repository {name} already");
        std::fs::create_dir_all(&repo.work).expect("a directory");
        let served = served.to_str().expect("a path in UTF-8");
        repo.git(&["init", "--quiet", "--bare", "--initial-branch=main", served]);
        repo.git(&["init", "--quiet", "--initial-branch=main"]);
        repo.git(&["remote", "add", "origin", served]);
        repo
    }

    fn served(&self) -> PathBuf {
        self.directory.path().join("served")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Where repositories are: `http://127.0.0.1:port`, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// From now on serves only who gives this name and password by Basic authentication.
    pub fn require_login(&self, user: &str, password: &str) {
        self.access.require_login(user, password);
    }

    /// Says whether a commit may be fetched by its id alone, without a branch or tag that leads to
    /// it, as from the start; or only what a branch or tag points at.
    ///
    /// A server that refuses this also speaks only the old protocol, as the new one has no such rule.
    pub fn allow_fetch_by_sha(&self, allow: bool) {
        self.access.allow_any_sha(allow);
    }
}

/// A repository that is served, with a work tree to fill it from.
#[derive(Debug)]
pub struct Repo {
    home: PathBuf,
    work: PathBuf,
    url: String,
    served: PathBuf,
    large: PathBuf,
}

impl Repo {
    /// What to clone it from; without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the server has it.
    pub(crate) fn served(&self) -> &Path {
        &self.served
    }

    /// Puts a file into the work tree that is kept with Git LFS: its content goes to the server, and
    /// what the next commit has of it is a pointer.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn large_file(&self, path: &str, content: &[u8]) {
        let draft = self.large.join("draft");
        std::fs::write(&draft, content).expect("a file");
        let sum = Command::new("sha256sum")
            .arg(&draft)
            .output()
            .expect("sha256sum");
        let sum = String::from_utf8_lossy(&sum.stdout);
        let oid = sum.split(' ').next().expect("a sum").to_owned();
        std::fs::rename(&draft, self.large.join(&oid)).expect("a file");
        let (version, size) = ("https://git-lfs.github.com/spec/v1", content.len());
        let pointer = format!("version {version}\noid sha256:{oid}\nsize {size}\n");
        std::fs::write(self.work.join(path), pointer).expect("a file");
        let rule = format!("{path} filter=lfs diff=lfs merge=lfs -text\n");
        std::fs::write(self.work.join(".gitattributes"), rule).expect("a file");
    }

    /// Adds a submodule to the index: the commit `sha` of whatever is at `url`, at `path`.
    ///
    /// # Panics
    /// When git refuses.
    pub fn submodule(&self, path: &str, url: &str, sha: &str) {
        let key = |what| format!("submodule.{path}.{what}");
        self.git(&["config", "--file", ".gitmodules", &key("path"), path]);
        self.git(&["config", "--file", ".gitmodules", &key("url"), url]);
        // Adding all later would take an empty place for a submodule that was removed.
        std::fs::create_dir_all(self.work.join(path)).expect("a directory");
        let entry = format!("160000,{sha},{path}");
        self.git(&["update-index", "--add", "--cacheinfo", &entry]);
    }

    /// The work tree, for what the other functions cannot do, such as links and modes.
    #[must_use]
    pub fn work_tree(&self) -> &Path {
        &self.work
    }

    /// Writes `files`, given as path and content, commits the work tree to the current branch,
    /// publishes it, and gives the id of the commit.
    ///
    /// # Panics
    /// When git refuses.
    pub fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        for (path, content) in files {
            let path = self.work.join(path);
            let parent = path.parent().expect("a file in the work tree");
            std::fs::create_dir_all(parent).expect("a directory");
            std::fs::write(path, content).expect("a file");
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        // A commit may replace others, as after a rebase.
        self.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Goes to a branch, and makes it from where the work tree is when there is none. It is
    /// published with its first commit; the default branch stays `main`.
    ///
    /// # Panics
    /// When git refuses.
    pub fn branch(&self, name: &str) {
        let held = self.git(&["branch", "--list", name]);
        match held.is_empty() {
            true => self.git(&["switch", "--quiet", "--create", name]),
            false => self.git(&["switch", "--quiet", name]),
        };
    }

    /// Tags the current commit, and publishes the tag.
    ///
    /// # Panics
    /// When git refuses.
    pub fn tag(&self, name: &str) {
        self.git(&["tag", name]);
        self.git(&["push", "--quiet", "origin", &format!("refs/tags/{name}")]);
    }

    /// Runs git in the work tree, and gives what it prints, without the line break at the end.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = command(&self.home)
            .args(arguments)
            .current_dir(&self.work)
            .output()
            .expect("git has to be installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }
}

/// Git, with nothing of the user's or the machine's configuration.
fn command(home: &Path) -> Command {
    const WHEN: &str = "2026-01-01T12:00:00Z";
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "Test")
            .env(format!("GIT_{role}_EMAIL"), "test@example.com")
            .env(format!("GIT_{role}_DATE"), WHEN);
    }
    command
}

#[cfg(test)]
mod tests;
