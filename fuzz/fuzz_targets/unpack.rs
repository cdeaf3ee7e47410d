//! Unpacks arbitrary bytes and checks that nothing outside the target changes.
//!
//! The first byte decides how the rest is used: as an archive; as a tar archive to which checksums and
//! compression are added, because a fuzzer would hardly ever get them right; or as input for an
//! archive generator with few names and many links. `Fixture` panics if an archive changes anything
//! outside, or leaves a link that leads out or anything but files, directories and links.
#![no_main]
#![expect(dead_code, reason = "the tests use more of these modules")]

#[path = "../../crates/packages/tests/unpack/fixture.rs"]
mod fixture;
#[path = "../../crates/packages/tests/unpack/archives.rs"]
mod archives;
#[path = "../../crates/packages/tests/unpack/generated.rs"]
mod generated;

use libfuzzer_sys::fuzz_target;
use slipway_packages::Archive;

use crate::fixture::{Fixture, limits};

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, bytes)) = bytes.split_first() else {
        return;
    };
    let (kind, archive) = match mode % 6 {
        0 => (Archive::TarGz, bytes.to_vec()),
        1 | 2 => (
            Archive::TarGz,
            archives::gzip(&with_checksums(bytes.to_vec())),
        ),
        3 => (Archive::Zip, bytes.to_vec()),
        4 => (Archive::TarGz, generated::tar(bytes).gz()),
        _ => (Archive::Zip, archives::zip(&generated::zip(bytes))),
    };
    FIXTURE.with(|fixture| try_unpack(fixture, kind, &archive, mode % 2 == 0, bytes));
});

thread_local! {
    /// Created once, because creating it takes longer than unpacking.
    static FIXTURE: Fixture = Fixture::new();
}

fn try_unpack(fixture: &Fixture, kind: Archive, archive: &[u8], again: bool, bytes: &[u8]) {
    fixture.clear();
    if let Ok(unpacked) = fixture.unpack(kind, archive) {
        assert!(unpacked.entries <= limits().entries);
        assert!(unpacked.expanded <= limits().expanded);
    } else if again {
        // The leftovers of a refused archive must not help the next one.
        let _ = fixture.unpack(Archive::TarGz, &generated::tar(bytes).gz());
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
