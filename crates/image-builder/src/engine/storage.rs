//! Where on this host the engine stores images and build cache.
//!
//! The engine names directories as it sees them itself: it may run in a mount namespace of its own.
//! With the containerd image store, images and cache are in containerd's directory, which only
//! containerd knows. Both programs are found through their sockets.

use std::path::{Path, PathBuf};

use bollard::models::SystemInfo;
use tokio::net::UnixStream;

use crate::builder::Builder;
use crate::engine::endpoint::Endpoint;

/// The entry of the driver's status that shows the containerd image store.
const CONTAINERD_STORE: [&str; 2] = ["driver-type", "io.containerd.snapshotter.v1"];
/// Where dockerd looks for a containerd of the host before it starts one of its own.
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The settings of a containerd of the host.
const CONTAINERD_CONFIG: &str = "/etc/containerd/config.toml";
/// Where containerd stores everything unless its settings name another directory.
const CONTAINERD_ROOT: &str = "/var/lib/containerd";
/// The directory of a containerd that dockerd starts, below dockerd's own.
const OWN_CONTAINERD_DIR: &str = "containerd/daemon";

impl Builder {
    /// The directories of an engine on this host that hold images and build cache. Empty for an
    /// engine on another host.
    pub async fn storage_dirs(&self) -> Vec<PathBuf> {
        if !self.endpoint().is_local() {
            return Vec::new();
        }
        let Ok(info) = self.engine().info().await else {
            return Vec::new();
        };
        let engine = match self.endpoint() {
            Endpoint::Unix(socket) => Server::at(socket).await,
            Endpoint::Tcp(_) | Endpoint::Tls(..) => Server::default(),
        };
        let mut dirs = Vec::new();
        if let Some(root) = &info.docker_root_dir {
            dirs.push(engine.path(Path::new(root)));
        }
        if uses_containerd_store(&info) {
            dirs.push(containerd_dir(&engine, &info).await);
        }
        dirs.retain(|dir| dir.is_dir());
        dirs
    }
}

/// Whether images and build cache are stored by containerd.
fn uses_containerd_store(info: &SystemInfo) -> bool {
    let mut status = info.driver_status.iter().flatten();
    status.any(|entry| entry.as_slice() == CONTAINERD_STORE)
}

/// The directory of the containerd that this engine uses.
async fn containerd_dir(engine: &Server, info: &SystemInfo) -> PathBuf {
    let address = info.containerd.as_ref();
    let address = address.and_then(|containerd| containerd.address.clone());
    // Engines before API 1.46 do not report it.
    let named = address.or_else(|| argument(&engine.arguments, "--containerd"));
    let host = || engine.path(Path::new(CONTAINERD_SOCKET)).exists();
    let named = named.or_else(|| host().then(|| CONTAINERD_SOCKET.to_owned()));
    let root = Path::new(info.docker_root_dir.as_deref().unwrap_or("/"));
    let own_dir = engine.path(&root.join(OWN_CONTAINERD_DIR));
    let Some(named) = named else {
        return own_dir;
    };
    let socket = Path::new(&named);
    let containerd = Server::at(&engine.path(socket)).await;
    let config = argument(&containerd.arguments, "--config");
    let config = config.or_else(|| argument(&containerd.arguments, "-c"));
    let config = config.unwrap_or_else(|| CONTAINERD_CONFIG.to_owned());
    let configured = async {
        let path = containerd.path_from(engine, Path::new(&config));
        root_in(&tokio::fs::read_to_string(path).await.ok()?)
    };
    match argument(&containerd.arguments, "--root") {
        Some(root) => containerd.path_from(engine, Path::new(&root)),
        // Without access to its socket, all that is known is who started it.
        None if containerd.is_unknown() && !is_of_host(socket) => own_dir,
        None => {
            let root = configured.await;
            let root = root.unwrap_or_else(|| CONTAINERD_ROOT.to_owned());
            containerd.path_from(engine, Path::new(&root))
        }
    }
}

/// Whether a containerd at this socket belongs to the host and was not started by dockerd.
fn is_of_host(socket: &Path) -> bool {
    socket == Path::new(CONTAINERD_SOCKET)
        || socket == Path::new("/var/run/containerd/containerd.sock")
}

/// The value of an argument, given as `NAME=VALUE` or `NAME VALUE`.
fn argument(arguments: &[String], name: &str) -> Option<String> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == name {
            return rest.next().cloned();
        }
        let value = argument.strip_prefix(name);
        if let Some(value) = value.and_then(|value| value.strip_prefix('=')) {
            return Some(value.to_owned());
        }
    }
    None
}

/// The top-level `root` of containerd's settings.
fn root_in(config: &str) -> Option<String> {
    let mut lines = config
        .lines()
        .map(str::trim)
        // A table begins the members of something else.
        .take_while(|line| !line.starts_with('['));
    lines.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim();
        let quoted = |quote: char| value.strip_prefix(quote)?.split(quote).next();
        let value = quoted('"').or_else(|| quoted('\''))?;
        (key.trim() == "root" && !value.is_empty()).then(|| value.to_owned())
    })
}

/// A program on this host that listens at a socket.
#[derive(Default)]
struct Server {
    /// Its root directory; `None` if the program or its namespace cannot be seen.
    root: Option<PathBuf>,
    arguments: Vec<String>,
}

impl Server {
    /// The program that listens at `socket`.
    async fn at(socket: &Path) -> Self {
        Self::find(socket).await.unwrap_or_default()
    }

    async fn find(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).await.ok()?;
        let process = PathBuf::from(format!("/proc/{}", stream.peer_cred().ok()?.pid()?));
        let root = process.join("root");
        // Only root may look into the namespace of another user's process.
        let is_visible = tokio::fs::read_dir(&root).await.is_ok();
        let line = tokio::fs::read(process.join("cmdline")).await.ok();
        let line = line.unwrap_or_default();
        let arguments = line
            .split(|byte| *byte == 0)
            .filter(|argument| !argument.is_empty());
        Some(Self {
            root: is_visible.then_some(root),
            arguments: arguments
                .map(|argument| String::from_utf8_lossy(argument).into_owned())
                .collect(),
        })
    }

    fn is_unknown(&self) -> bool {
        self.arguments.is_empty()
    }

    /// The path on this host of a path of the program.
    fn path(&self, path: &Path) -> PathBuf {
        match &self.root {
            // `join` would drop the root for an absolute path.
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// The same, by the view of `other` if the view of the program is unknown.
    fn path_from(&self, other: &Server, path: &Path) -> PathBuf {
        if self.root.is_some() {
            self.path(path)
        } else {
            other.path(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_settings_name_the_root_of_containerd() {
        let line = ["containerd", "--config", "/a.toml", "--root=/data"];
        let line = line.map(str::to_owned);
        assert_eq!(argument(&line, "--config").as_deref(), Some("/a.toml"));
        assert_eq!(argument(&line, "--root").as_deref(), Some("/data"));
        assert_eq!(argument(&line, "--state"), None);
        for (config, root) in [
            (
                "version = 2\nroot = \"/srv/c\" # here\n[plugins]\n",
                Some("/srv/c"),
            ),
            ("root = '/srv/c'", Some("/srv/c")),
            ("#root = \"/x\"\n[plugins.a]\nroot = \"/y\"", None),
            ("root = \"\"", None),
        ] {
            assert_eq!(root_in(config).as_deref(), root, "{config}");
        }
    }

    #[tokio::test]
    async fn paths_are_those_of_the_program_at_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = Server::at(&path).await;
        drop(listener);
        let own = format!("/proc/{}/root/var", std::process::id());
        assert_eq!(server.path(Path::new("/var")), Path::new(&own));
        assert!(!server.is_unknown());
        let nobody = Server::at(Path::new("/nowhere")).await;
        assert_eq!(nobody.path(Path::new("/var")), Path::new("/var"));
        let seen = nobody.path_from(&server, Path::new("/var"));
        assert_eq!(seen, Path::new(&own));
    }

    #[test]
    fn only_the_containerd_store_is_elsewhere() {
        let info = |entries: &[[&str; 2]]| {
            let status = entries
                .iter()
                .map(|entry| entry.map(str::to_owned).to_vec());
            SystemInfo {
                driver_status: Some(status.collect()),
                ..SystemInfo::default()
            }
        };
        assert!(uses_containerd_store(&info(&[CONTAINERD_STORE])));
        assert!(!uses_containerd_store(&info(&[[
            "Backing Filesystem",
            "extfs"
        ]])));
        assert!(!uses_containerd_store(&SystemInfo::default()));
    }
}
