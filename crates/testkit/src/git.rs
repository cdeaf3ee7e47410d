//! Real repositories behind git's smart HTTP on loopback.
//!
//! The server passes each request to `git http-backend`. The configuration of the user and of the machine
//! is not used, and commits have a fixed author and time, so the same commits have the same ids in every
//! run.

mod command;
mod http;
mod lfs;
mod request;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use self::command::command;
use self::http::{Access, Server};

/// A server of git repositories. It stops when this is dropped.
#[derive(Debug)]
pub struct GitServer {
    access: Arc<Access>,
    server: Server,
    directory: TempDir,
}

impl GitServer {
    /// Starts a server without repositories and without authentication.
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

    /// Creates an empty repository, such as `acme/api`, with the default branch `main`.
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
        assert!(!served.exists(), "the repository {name} already exists");
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

    /// The base URL of the repositories, `http://127.0.0.1:port`, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Requires this user and password, with Basic authentication, from now on.
    pub fn require_login(&self, user: &str, password: &str) {
        self.access.require_login(user, password);
    }

    /// Names another server for files in Git LFS, such as `http://127.0.0.2:80`.
    pub fn name_large_files_at(&self, base: &str) {
        self.access.large_files_at(base);
    }

    /// Sets whether a commit may be fetched by its id, without a branch or tag that contains it. Initially
    /// it may.
    ///
    /// A server that refuses this uses only protocol version 0, because version 2 has no such rule.
    pub fn allow_fetch_by_sha(&self, allow: bool) {
        self.access.allow_any_sha(allow);
    }
}

/// A repository, with a work tree for its commits.
#[derive(Debug)]
pub struct Repo {
    home: PathBuf,
    work: PathBuf,
    url: String,
    served: PathBuf,
    large: PathBuf,
}

impl Repo {
    /// The URL to clone it from, without credentials.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn served(&self) -> &Path {
        &self.served
    }

    /// Adds a file with Git LFS: its content goes to the server, and the next commit has a pointer file.
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

    /// Adds a submodule to the index: the commit `sha` of the repository at `url`, at `path`.
    pub fn submodule(&self, path: &str, url: &str, sha: &str) {
        let key = |what| format!("submodule.{path}.{what}");
        self.git(&["config", "--file", ".gitmodules", &key("path"), path]);
        self.git(&["config", "--file", ".gitmodules", &key("url"), url]);
        // Without the directory, a later `git add --all` would remove the submodule.
        std::fs::create_dir_all(self.work.join(path)).expect("a directory");
        let entry = format!("160000,{sha},{path}");
        self.git(&["update-index", "--add", "--cacheinfo", &entry]);
    }

    /// The work tree, for changes that the other functions cannot make, such as links and modes.
    #[must_use]
    pub fn work_tree(&self) -> &Path {
        &self.work
    }

    /// Writes `files`, given as path and content, commits the work tree to the current branch, pushes it,
    /// and returns the id of the commit.
    pub fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        for (path, content) in files {
            let path = self.work.join(path);
            let parent = path.parent().expect("a file in the work tree");
            std::fs::create_dir_all(parent).expect("a directory");
            std::fs::write(path, content).expect("a file");
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        // Force, because a test may replace commits, as after a rebase.
        self.git(&["push", "--quiet", "--force", "origin", "HEAD"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Switches to a branch, and creates it from the current commit if necessary. It is pushed with its
    /// first commit; the default branch stays `main`.
    pub fn branch(&self, name: &str) {
        let existing = self.git(&["branch", "--list", name]);
        if existing.is_empty() {
            self.git(&["switch", "--quiet", "--create", name]);
        } else {
            self.git(&["switch", "--quiet", name]);
        }
    }

    /// Tags the current commit, and pushes the tag.
    pub fn tag(&self, name: &str) {
        self.git(&["tag", name]);
        self.git(&["push", "--quiet", "origin", &format!("refs/tags/{name}")]);
    }

    /// Runs git in the work tree, and returns its output without the trailing line break.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = command(&self.home)
            .args(arguments)
            .current_dir(&self.work)
            .output()
            .expect("git must be installed");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }
}

#[cfg(test)]
mod tests;
