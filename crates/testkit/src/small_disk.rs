//! A disk of a few megabytes that a test can fill.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of limited size in memory. It is unmounted when this value is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts a file system of so many MiB.
    ///
    /// # Panics
    /// Panics if the user of the tests may not mount one: they need root, as in the project's CI.
    pub fn new(mib: u32) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700")])
            .args([Path::new("slipway-test"), dir.path()])
            .output()
            .expect("the program `mount`");
        let why = String::from_utf8_lossy(&mounted.stderr);
        assert!(
            mounted.status.success(),
            "could not mount a small disk, which needs root: {why}"
        );
        Self { dir }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Fills the disk to the last byte. [`SmallDisk::free`] makes space again.
    pub fn fill(&self) {
        use std::io::Write as _;

        let mut file = std::fs::File::create(self.filler()).expect("a file");
        // The space that is left may be smaller than what is written at once.
        for size in [64 << 10, 4 << 10] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    /// Deletes what [`SmallDisk::fill`] wrote.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).expect("the file that fills the disk");
    }

    fn filler(&self) -> PathBuf {
        self.dir.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a farm that is being stopped may still have files open.
        let unmounted = Command::new("umount")
            .arg("-l")
            .arg(self.dir.path())
            .status();
        let is_unmounted = unmounted.is_ok_and(|status| status.success());
        // A second panic would hide the first one.
        assert!(
            is_unmounted || std::thread::panicking(),
            "could not unmount {}",
            self.dir.path().display()
        );
    }
}
