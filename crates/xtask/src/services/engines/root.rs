//! The root directory of an engine, and how a program enters it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::process::Command;

/// The name of the engine's socket in its directory.
pub(super) const SOCKET: &str = "engine.sock";
/// The directory of the socket inside the root.
pub(super) const SOCKETS: &str = "/run/slipway";
/// The directory of the engine's data inside the root.
pub(super) const DATA: &str = "/var/lib/slipway";

/// Mounts what the engine needs, and becomes the program in the new root. The engines look up the
/// mount of their data, so the root is a mount itself.
const ENTER: &str = r#"
set -e
root=$1 data=$2 sockets=$3
shift 3
mount --bind "$root" "$root"
cd "$root"
for shared in proc sys dev; do mount --rbind "/$shared" "$shared"; done
mount -t tmpfs tmpfs run
mkdir run/slipway
mount --bind "$sockets" run/slipway
mount --bind "$data" var/lib/slipway
exec chroot . "$@"
"#;

/// A directory with unpacked packages, ready to be the root of a program.
#[derive(Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    /// Creates what the scripts of the packages would have created.
    pub(super) fn prepare(root: PathBuf) -> Result<Self> {
        for link in ["bin", "sbin", "lib", "lib64"] {
            let path = root.join(link);
            if path.symlink_metadata().is_err() {
                fs::create_dir_all(root.join("usr").join(link))?;
                symlink(format!("usr/{link}"), path)?;
            }
        }
        for directory in [
            "proc",
            "sys",
            "dev",
            "run",
            "root",
            "etc",
            "var/lib/slipway",
        ] {
            fs::create_dir_all(root.join(directory))?;
        }
        for directory in ["tmp", "var/tmp"] {
            fs::create_dir_all(root.join(directory))?;
            let shared = fs::Permissions::from_mode(0o1777);
            fs::set_permissions(root.join(directory), shared)?;
        }
        for file in ["passwd", "group", "resolv.conf"] {
            fs::copy(Path::new("/etc").join(file), root.join("etc").join(file))?;
        }
        Ok(Self(root))
    }

    /// Writes a file below the root.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.0.join(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        Ok(fs::write(path, text)?)
    }

    /// Creates a symbolic link below the root, if there is nothing of this name.
    pub(super) fn link(&self, path: &str, target: &str) -> Result<()> {
        let path = self.0.join(path);
        if path.symlink_metadata().is_err() {
            symlink(target, path)?;
        }
        Ok(())
    }

    /// Adds the arguments with which `unshare` runs a program in this root. The program and its
    /// arguments come after them.
    pub(super) fn enter(&self, unshare: &mut Command, data: &Path, sockets: &Path) {
        unshare
            .args(["--mount", "--propagation", "private", "--"])
            .args(["sh", "-c", ENTER, "enter"])
            .args([&self.0, data, sockets])
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TMPDIR", "/var/tmp")
            .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
            .env("NETAVARK_FW", "iptables");
    }
}
