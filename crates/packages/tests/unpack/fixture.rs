//! A fixture that unpacks into a directory and checks that nothing outside it changes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use slipway_packages::unpack::{restore_here, unpack_here};
use slipway_packages::{Archive, PackageError, UnpackLimits, Unpacked};
use tempfile::TempDir;

/// A target directory, surrounded by files and directories that must not change.
pub(crate) struct Fixture {
    around: TempDir,
    target: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

/// The names in generated archives. Files with these names surround the target.
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Limits that small archives can exceed.
pub(crate) fn limits() -> UnpackLimits {
    UnpackLimits {
        compressed: 1 << 20,
        expanded: 20 << 20,
        ratio: 100,
        ratio_from: 1 << 20,
        entries: 100,
        depth: 8,
        path: 300,
        time: Duration::from_secs(60),
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        // A memory file system, if available, makes the tests faster.
        let memory = Path::new("/dev/shm");
        let around = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        let around = around.unwrap();
        let target = around.path().join("x/y/z/target");
        fs::create_dir_all(&target).unwrap();
        let fixture = Self {
            around,
            target,
            before: BTreeMap::new(),
        };
        fixture.add_surroundings()
    }

    /// Empties the target for reuse.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(&self.target).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// Creates possible targets of links beside the target and beside its parent directories.
    fn add_surroundings(mut self) -> Self {
        for dir in self.target.ancestors().skip(1).take(4) {
            fs::write(dir.join("secret"), "keep").unwrap();
            fs::create_dir(dir.join("beside")).unwrap();
            fs::write(dir.join("beside/file"), "keep").unwrap();
            for name in NAMES {
                fs::write(dir.join(name), "keep").unwrap();
            }
        }
        self.before = self.listing();
        self
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.target.clone()
    }

    /// Everything outside the target, with contents and metadata.
    fn listing(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        walk(self.around.path(), &mut |path| {
            if path == self.target {
                return false;
            }
            let metadata = path.symlink_metadata().unwrap();
            let content = fs::read_to_string(path).unwrap_or_default();
            let (mode, links) = (metadata.mode(), metadata.nlink());
            let changed = (metadata.mtime(), metadata.mtime_nsec());
            let state = format!("{mode:o} {links} {changed:?} {content}");
            found.insert(path.to_owned(), state);
            true
        });
        found
    }

    /// Unpacks into the target. Checks that nothing outside changed and that no link leads out.
    pub(crate) fn unpack(&self, kind: Archive, bytes: &[u8]) -> Result<Unpacked, PackageError> {
        self.unpack_within(kind, bytes, limits())
    }

    pub(crate) fn unpack_within(
        &self,
        kind: Archive,
        bytes: &[u8],
        limits: UnpackLimits,
    ) -> Result<Unpacked, PackageError> {
        let unpacked = self.try_unpack(kind, bytes, limits);
        let inside = self.target().canonicalize().unwrap();
        walk(&self.target(), &mut |path| {
            let metadata = path.symlink_metadata().unwrap();
            assert!(
                metadata.is_file() || metadata.is_dir() || metadata.is_symlink(),
                "{path:?} is neither a file, a directory nor a link"
            );
            assert_eq!(metadata.mode() & 0o7000, 0, "{path:?} has special bits");
            if let Ok(found) = path.canonicalize() {
                assert!(found.starts_with(&inside), "{path:?} leads to {found:?}");
            }
            true
        });
        unpacked
    }

    /// Unpacks into the target. Checks that nothing outside changed.
    pub(crate) fn try_unpack(
        &self,
        kind: Archive,
        bytes: &[u8],
        limits: UnpackLimits,
    ) -> Result<Unpacked, PackageError> {
        let mut archive = tempfile::tempfile().unwrap();
        archive.write_all(bytes).unwrap();
        let stop = Arc::default();
        let unpacked = unpack_here(archive, kind, &self.target(), limits, stop);
        assert_eq!(self.listing(), self.before);
        unpacked
    }

    /// Restores the files of a job into the target. Checks that nothing outside changed. Links may
    /// lead out.
    pub(crate) fn restore(&self, bytes: &[u8]) -> Result<Unpacked, PackageError> {
        self.restore_kind(Archive::Zip, bytes)
    }

    /// Like [`restore`](Self::restore), for an archive of another kind.
    pub(crate) fn restore_kind(
        &self,
        kind: Archive,
        bytes: &[u8],
    ) -> Result<Unpacked, PackageError> {
        let mut archive = tempfile::tempfile().unwrap();
        archive.write_all(bytes).unwrap();
        let restored = restore_here(archive, kind, &self.target(), limits(), Arc::default());
        assert_eq!(self.listing(), self.before);
        restored
    }

    /// The contents of a file in the target.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.target().join(path)).unwrap()
    }

    /// Creates a file in the target before unpacking.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.target().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn put_link(&self, path: &str, to: &str) {
        symlink(to, self.target().join(path)).unwrap();
    }
}

/// Calls `look` for everything below `dir`, and enters a directory if `look` returns true for it.
fn walk(dir: &Path, look: &mut dyn FnMut(&Path) -> bool) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if look(&path) && path.symlink_metadata().unwrap().is_dir() {
            walk(&path, look);
        }
    }
}
