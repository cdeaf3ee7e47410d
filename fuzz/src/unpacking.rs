//! Unpacks arbitrary bytes, and checks that nothing outside the target changes.
//!
//! The first byte decides how the rest is used: as an archive; as a tar archive to which checksums and
//! compression are added, because a fuzzer would hardly ever get them right; or as input for an
//! archive generator with few names and many links. `Fixture` panics if an archive changes anything
//! outside, or (unpacking) leaves a link that leads out or anything but files, directories and links.

use slipway_packages::Archive;

use crate::fixture::{Fixture, limits};
use crate::{Run, archives, generated};

/// Packages, which strangers make.
pub(crate) fn start_unpacking() -> Run {
    // Created once, because creating it takes longer than unpacking.
    let fixture = Fixture::new();
    Box::new(move |bytes| {
        let Some((mode, bytes)) = bytes.split_first() else {
            return;
        };
        let (kind, archive) = archive(*mode, bytes);
        fixture.clear();
        if let Ok(unpacked) = fixture.unpack(kind, &archive) {
            assert!(unpacked.entries <= limits().entries);
            assert!(unpacked.expanded <= limits().expanded);
        } else if mode % 2 == 0 {
            // The leftovers of a refused archive must not help the next one.
            let _ = fixture.unpack(Archive::TarGz, &generated::tar(bytes).gz());
        }
    })
}

/// Files that one job passes to another. What they contain is up to the job.
pub(crate) fn start_restoring() -> Run {
    let fixture = Fixture::new();
    Box::new(move |bytes| {
        let Some((mode, bytes)) = bytes.split_first() else {
            return;
        };
        let (kind, archive) = archive(*mode, bytes);
        fixture.clear();
        if let Ok(restored) = fixture.restore_kind(kind, &archive) {
            assert!(restored.entries <= limits().entries);
            assert!(restored.expanded <= limits().expanded);
        }
        // Links of the first archive may lead out; the next one must not be written through them.
        let _ = fixture.restore_kind(Archive::Zip, &archives::zip(&generated::zip(bytes)));
    })
}

fn archive(mode: u8, bytes: &[u8]) -> (Archive, Vec<u8>) {
    match mode % 6 {
        0 => (Archive::TarGz, bytes.to_vec()),
        1 | 2 => (
            Archive::TarGz,
            archives::gzip(&with_checksums(bytes.to_vec())),
        ),
        3 => (Archive::Zip, bytes.to_vec()),
        4 => (Archive::TarGz, generated::tar(bytes).gz()),
        _ => (Archive::Zip, archives::zip(&generated::zip(bytes))),
    }
}

/// Sets the checksum of every header, in the order in which a reader finds them.
fn with_checksums(mut tar: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(block) = tar.get_mut(at..at + 512) {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().unwrap_or_default().min(1 << 20);
        at += 512
            + usize::try_from(size)
                .unwrap_or_default()
                .next_multiple_of(512);
    }
    tar
}
