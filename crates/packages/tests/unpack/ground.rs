//! A place to unpack into, and a look at what lies around it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use slipway_packages::unpack::unpack_here;
use slipway_packages::{Archive, PackageError, UnpackLimits, Unpacked};
use tempfile::TempDir;

/// A directory in a directory with other things.
pub(crate) struct Ground {
    around: TempDir,
    target: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

/// The names that made-up archives use.
pub(crate) const LURES: [&str; 4] = ["a", "b", "c", "d"];

/// Limits that small archives can reach.
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

impl Ground {
    pub(crate) fn new() -> Self {
        // In memory, where there is such a place: the tests are about names and not about disks.
        let memory = Path::new("/dev/shm");
        let around = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        let around = around.unwrap();
        let target = around.path().join("x/y/z/target");
        fs::create_dir_all(&target).unwrap();
        let ground = Self {
            around,
            target,
            before: BTreeMap::new(),
        };
        ground.lay_lures()
    }

    /// Empties the target, so that it can be used once more.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(&self.target).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap().is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
    }

    /// Puts things that a link could lead to next to the target and next to all directories above.
    fn lay_lures(mut self) -> Self {
        for dir in self.target.ancestors().skip(1).take(4) {
            fs::write(dir.join("secret"), "keep").unwrap();
            fs::create_dir(dir.join("beside")).unwrap();
            fs::write(dir.join("beside/file"), "keep").unwrap();
            for name in LURES {
                fs::write(dir.join(name), "keep").unwrap();
            }
        }
        self.before = self.listing();
        self
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.target.clone()
    }

    /// Everything around the target, with contents and all that a careless program could change.
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
            let said = format!("{mode:o} {links} {changed:?} {content}");
            found.insert(path.to_owned(), said);
            true
        });
        found
    }

    /// Unpacks into the target, and checks that nothing else changed and no link leads out.
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
                "{path:?} is something else"
            );
            assert_eq!(metadata.mode() & 0o7000, 0, "{path:?} has special bits");
            if let Ok(found) = path.canonicalize() {
                assert!(found.starts_with(&inside), "{path:?} leads to {found:?}");
            }
            true
        });
        unpacked
    }

    /// Unpacks into the target, and checks that nothing else changed.
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

    /// What a file in the target holds.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.target().join(path)).unwrap()
    }

    /// Puts a file into the target before something is unpacked there.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.target().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn put_link(&self, path: &str, to: &str) {
        symlink(to, self.target().join(path)).unwrap();
    }
}

/// Looks at all that is below `dir`, and below a directory as long as `look` says so.
fn walk(dir: &Path, look: &mut dyn FnMut(&Path) -> bool) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if look(&path) && path.symlink_metadata().unwrap().is_dir() {
            walk(&path, look);
        }
    }
}
