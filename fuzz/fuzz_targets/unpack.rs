//! Unpacks whatever comes, into a place that knows when something else was touched.
//!
//! The first byte says how the rest is read: as an archive; as a tar archive without checksums and
//! compression, which a fuzzer would never get right; or as the script of an archive with few
//! names and many links. `Ground` panics when an archive leaves anything outside, a link that
//! leads out, or something that is neither file nor directory.
#![no_main]
#![allow(dead_code, reason = "the modules serve tests as well")]

#[path = "../../crates/packages/tests/unpack/ground.rs"]
mod ground;
#[path = "../../crates/packages/tests/unpack/makers.rs"]
mod makers;
#[path = "../../crates/packages/tests/unpack/script.rs"]
mod script;

use libfuzzer_sys::fuzz_target;
use slipway_packages::Archive;

use crate::ground::{Ground, limits};

fuzz_target!(|bytes: &[u8]| {
    let Some((way, bytes)) = bytes.split_first() else {
        return;
    };
    let (kind, archive) = match way % 6 {
        0 => (Archive::TarGz, bytes.to_vec()),
        1 | 2 => (
            Archive::TarGz,
            makers::gzip(&with_checksums(bytes.to_vec())),
        ),
        3 => (Archive::Zip, bytes.to_vec()),
        4 => (Archive::TarGz, script::tar(bytes).gz()),
        _ => (Archive::Zip, makers::zip(&script::zip(bytes))),
    };
    GROUND.with(|ground| try_out(ground, kind, &archive, way % 2 == 0, bytes));
});

thread_local! {
    /// Made once: most of an execution would be spent on it.
    static GROUND: Ground = Ground::new();
}

fn try_out(ground: &Ground, kind: Archive, archive: &[u8], again: bool, bytes: &[u8]) {
    ground.clear();
    if let Ok(unpacked) = ground.unpack(kind, archive) {
        assert!(unpacked.entries <= limits().entries);
        assert!(unpacked.expanded <= limits().expanded);
    } else if again {
        // What a refused archive left behind must not help the next one.
        let _ = ground.unpack(Archive::TarGz, &script::tar(bytes).gz());
    }
}

/// Makes every header's checksum right, from the front, as a reader would come by them.
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
