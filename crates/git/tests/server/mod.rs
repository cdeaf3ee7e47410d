//! An HTTP server with one repository: a minimal CGI server around `git http-backend`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use slipway_domain::CommitSha;
use tempfile::TempDir;

/// What the server offers to clients.
#[derive(Clone, Copy)]
pub(crate) enum Offer {
    /// Any object, with protocol version 2 and filters.
    Everything,
    /// Any commit with all its files, with protocol version 0.
    WholeCommits,
    /// The commits that refs point to, with protocol version 0.
    RefsOnly,
    /// Everything, if the client sends this `user:password`.
    WithLogin(&'static str),
}

/// A server with one repository. It has three commits on `main`. `v1` is an annotated tag of the
/// second; `both` is a branch at the last and a tag at the second. No ref points to the first.
pub(crate) struct Server {
    dir: TempDir,
    port: u16,
    sent: Arc<AtomicUsize>,
    /// The commits, oldest first.
    pub(crate) commits: [CommitSha; 3],
}

impl Server {
    pub(crate) fn start(offer: Offer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo.git");
        git(dir.path(), &["init", "-q", "-b", "main", "repo.git"]);
        let commits = ["0", "1", "2"].map(|text| {
            std::fs::write(repo.join("file"), text).unwrap();
            git(&repo, &["add", "file"]);
            git(&repo, &["commit", "-q", "-m", text]);
            git(&repo, &["rev-parse", "HEAD"]).parse().unwrap()
        });
        git(&repo, &["tag", "-a", "v1", "-m", "one", "HEAD~1"]);
        git(&repo, &["tag", "both", "HEAD~1"]);
        git(&repo, &["branch", "both"]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let root = dir.path().to_owned();
        match offer {
            Offer::Everything | Offer::WithLogin(_) => {
                git(&repo, &["config", "uploadpack.allowFilter", "true"]);
            }
            Offer::WholeCommits => {
                git(
                    &repo,
                    &["config", "uploadpack.allowReachableSHA1InWant", "true"],
                );
            }
            Offer::RefsOnly => {}
        }
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, count) = (root.clone(), Arc::clone(&count));
                std::thread::spawn(move || serve(stream, &root, offer, &count));
            }
        });
        Self {
            dir,
            port,
            sent,
            commits,
        }
    }

    /// How many bytes it has sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// Adds a commit on `main` with a directory, a link, a file of 101 bytes, and 640 kB of random
    /// data in `heavy`.
    pub(crate) fn commit_files(&self) -> CommitSha {
        let repo = self.dir.path().join("repo.git");
        std::fs::create_dir(repo.join("dir")).unwrap();
        std::fs::write(repo.join("dir/file"), "inner\n").unwrap();
        std::os::unix::fs::symlink("file", repo.join("link")).unwrap();
        std::fs::write(repo.join("large"), "x".repeat(101)).unwrap();
        // Pseudo-random bytes do not compress.
        let noise = (0_u32..160_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
        let mut state = 1_u8;
        let noise = noise.map(|byte| {
            state = state.wrapping_mul(31).wrapping_add(byte);
            state
        });
        std::fs::write(repo.join("heavy"), noise.collect::<Vec<u8>>()).unwrap();
        git(&repo, &["add", "dir", "link", "large", "heavy"]);
        git(&repo, &["commit", "-q", "-m", "files"]);
        git(&repo, &["rev-parse", "HEAD"]).parse().unwrap()
    }

    /// Adds a commit on `main` without the files of [`Server::commit_files`].
    pub(crate) fn remove_files(&self) -> CommitSha {
        let repo = self.dir.path().join("repo.git");
        git(&repo, &["rm", "-q", "-r", "dir", "link", "large", "heavy"]);
        git(&repo, &["commit", "-q", "-m", "no files"]);
        git(&repo, &["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/repo.git", self.port)
    }

    /// Adds a commit with a submodule whose URL is the repository itself.
    pub(crate) fn commit_submodule(&self) {
        let repo = self.dir.path().join("repo.git");
        let settings = format!(
            "[submodule \"sub\"]\n\tpath = sub\n\turl = {}\n",
            self.url()
        );
        std::fs::write(repo.join(".gitmodules"), settings).unwrap();
        let entry = format!("160000,{},sub", self.commits[0].as_str());
        git(&repo, &["update-index", "--add", "--cacheinfo", &entry]);
        git(&repo, &["add", ".gitmodules"]);
        git(&repo, &["commit", "-q", "-m", "submodule"]);
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn serve(mut stream: TcpStream, root: &PathBuf, offer: Offer, sent: &AtomicUsize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut parts = line.split_whitespace();
    let (Some(method), Some(target)) = (parts.next(), parts.next()) else {
        return;
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut cgi = Command::new("git");
    cgi.arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query);
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let Some((name, value)) = header.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "content-type" => drop(cgi.env("CONTENT_TYPE", value)),
            "content-encoding" => drop(cgi.env("HTTP_CONTENT_ENCODING", value)),
            "authorization" => authorization = value.to_owned(),
            "git-protocol" if !matches!(offer, Offer::RefsOnly | Offer::WholeCommits) => {
                cgi.env("GIT_PROTOCOL", value);
            }
            _ => {}
        }
    }
    if let Offer::WithLogin(login) = offer {
        let login = base64::engine::general_purpose::STANDARD.encode(login);
        if authorization != format!("Basic {login}") {
            let unauthorized = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return stream.write_all(unauthorized.as_bytes()).unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut cgi = cgi
        .env("CONTENT_LENGTH", length.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It fails if the backend refused the request without reading the body.
    let _ = cgi.stdin.take().unwrap().write_all(&body);
    let mut answer = Vec::new();
    cgi.stdout.take().unwrap().read_to_end(&mut answer).unwrap();
    cgi.wait().unwrap();
    let text = String::from_utf8_lossy(&answer);
    let status = match text.lines().find_map(|line| line.strip_prefix("Status: ")) {
        Some(status) => status.to_owned(),
        None => "200 OK".to_owned(),
    };
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    let _ = stream.write_all(head.as_bytes());
    sent.fetch_add(answer.len(), Ordering::SeqCst);
    let _ = stream.write_all(&answer);
}
