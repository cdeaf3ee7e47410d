//! Properties that hold for all archives.

use std::collections::BTreeMap;

use proptest::prelude::*;
use slipway_packages::Archive;

use crate::archives::{Tar, ZipEntry, gzip, zip};
use crate::fixture::Fixture;
use crate::generated;

/// Files by path, without conflicts between files and directories.
fn trees() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let path = prop::collection::vec("[a-z]{1,3}", 0..4);
    let path = (path, "[A-Z.é ]{0,3}[A-Z]").prop_map(|(dirs, name)| {
        let mut parts = dirs;
        parts.push(name);
        parts.join("/")
    });
    let data = prop::collection::vec(any::<u8>(), 0..300);
    prop::collection::btree_map(path, data, 0..20)
}

fn is_unpacked(fixture: &Fixture, tree: &BTreeMap<String, Vec<u8>>) -> bool {
    tree.iter()
        .all(|(path, data)| std::fs::read(fixture.target().join(path)).unwrap() == *data)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// `Fixture` checks for each archive that nothing outside changed and no link leads out.
    #[test]
    fn no_archive_of_links_leads_out(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let fixture = Fixture::new();
        let _ = fixture.unpack(Archive::TarGz, &generated::tar(&bytes).gz());
        fixture.clear();
        let _ = fixture.unpack(Archive::Zip, &zip(&generated::zip(&bytes)));
    }

    /// One archive is unpacked over another. The result of the first is not trusted either.
    #[test]
    fn no_second_archive_leads_out(
        first in prop::collection::vec(any::<u8>(), 0..40),
        second in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let fixture = Fixture::new();
        let _ = fixture.unpack(Archive::TarGz, &generated::tar(&first).gz());
        let _ = fixture.unpack(Archive::Zip, &zip(&generated::zip(&second)));
        let _ = fixture.unpack(Archive::TarGz, &generated::tar(&second).gz());
    }

    #[test]
    fn corrupted_archives_are_refused_or_harmless(
        bytes in prop::collection::vec(any::<u8>(), 4..40),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let fixture = Fixture::new();
        let mut tar = generated::tar(&bytes).end();
        let position = at.index(tar.len());
        tar[position] = with;
        let _ = fixture.unpack(Archive::TarGz, &gzip(&tar));
        fixture.clear();
        let mut packed = gzip(&tar);
        let position = at.index(packed.len());
        packed[position] = with;
        let _ = fixture.unpack(Archive::TarGz, &packed);
        fixture.clear();
        let mut archive = zip(&generated::zip(&bytes));
        let position = at.index(archive.len());
        archive[position] = with;
        let _ = fixture.unpack(Archive::Zip, &archive);
    }

    #[test]
    fn a_tree_round_trips_through_both_formats(tree in trees()) {
        let tar = tree.iter().fold(Tar::default(), |tar, (path, data)| {
            tar.file(path, data)
        });
        let fixture = Fixture::new();
        fixture.unpack(Archive::TarGz, &tar.gz()).unwrap();
        prop_assert!(is_unpacked(&fixture, &tree));
        let entries: Vec<_> = tree
            .iter()
            .map(|(path, data)| ZipEntry::deflated(path, data))
            .collect();
        fixture.clear();
        fixture.unpack(Archive::Zip, &zip(&entries)).unwrap();
        prop_assert!(is_unpacked(&fixture, &tree));
    }
}
