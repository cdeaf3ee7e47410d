//! What holds for all archives.

use std::collections::BTreeMap;

use proptest::prelude::*;
use slipway_packages::Archive;

use crate::ground::Ground;
use crate::makers::{Tar, ZipEntry, gzip, zip};
use crate::script;

/// Files by path, none of which is in the way of another.
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

fn is_unpacked(ground: &Ground, tree: &BTreeMap<String, Vec<u8>>) -> bool {
    tree.iter()
        .all(|(path, data)| std::fs::read(ground.target().join(path)).unwrap() == *data)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// `Ground` checks, for each of these, that nothing outside changed and no link leads out.
    #[test]
    fn no_archive_of_links_leads_out(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let ground = Ground::new();
        let _ = ground.unpack(Archive::TarGz, &script::tar(&bytes).gz());
        ground.clear();
        let _ = ground.unpack(Archive::Zip, &zip(&script::zip(&bytes)));
    }

    /// One archive over another: what the first leaves is not trusted either.
    #[test]
    fn no_second_archive_leads_out(
        first in prop::collection::vec(any::<u8>(), 0..40),
        second in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let ground = Ground::new();
        let _ = ground.unpack(Archive::TarGz, &script::tar(&first).gz());
        let _ = ground.unpack(Archive::Zip, &zip(&script::zip(&second)));
        let _ = ground.unpack(Archive::TarGz, &script::tar(&second).gz());
    }

    #[test]
    fn spoilt_archives_are_refused_or_harmless(
        bytes in prop::collection::vec(any::<u8>(), 4..40),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let ground = Ground::new();
        let mut tar = script::tar(&bytes).end();
        let place = at.index(tar.len());
        tar[place] = with;
        let _ = ground.unpack(Archive::TarGz, &gzip(&tar));
        ground.clear();
        let mut packed = gzip(&tar);
        let place = at.index(packed.len());
        packed[place] = with;
        let _ = ground.unpack(Archive::TarGz, &packed);
        ground.clear();
        let mut archive = zip(&script::zip(&bytes));
        let place = at.index(archive.len());
        archive[place] = with;
        let _ = ground.unpack(Archive::Zip, &archive);
    }

    #[test]
    fn a_tree_comes_out_as_it_went_in(tree in trees()) {
        let tar = tree.iter().fold(Tar::default(), |tar, (path, data)| {
            tar.file(path, data)
        });
        let ground = Ground::new();
        ground.unpack(Archive::TarGz, &tar.gz()).unwrap();
        prop_assert!(is_unpacked(&ground, &tree));
        let entries: Vec<_> = tree
            .iter()
            .map(|(path, data)| ZipEntry::deflated(path, data))
            .collect();
        ground.clear();
        ground.unpack(Archive::Zip, &zip(&entries)).unwrap();
        prop_assert!(is_unpacked(&ground, &tree));
    }
}
