//! Artifact paths that are links to directories, or go on below one.

use serde_json::json;
use slipway_test_engine::shell_image;

use super::scripts::{script, trace, unzipped};
use super::{Repository, runner};
use crate::fake_coordinator::FakeCoordinator;

/// Keeps `paths` of a tree with linked directories, and returns the names in the archive.
async fn kept(fake: &FakeCoordinator, repository: &Repository, id: i64, paths: &[&str]) -> String {
    let make = "mkdir -p real/sub /out/deep; echo f >real/sub/f; echo g >real/g; echo o >/out/deep/o; \
                ln -s real lnk; ln -s /out out; ln -s ../.. real/sub/loop; ln -s lnk/sub two";
    let spec = script(shell_image(), &[make], json!({"paths": paths}));
    fake.enqueue(id, &[], repository.job(&spec));
    let held = fake.until_reported(id).await;
    assert_eq!(held.status, "success", "{paths:?} {}", trace(&held));
    let names: Vec<String> = unzipped(&held.uploads[0].bytes).into_keys().collect();
    names.join(" ")
}

#[tokio::test]
async fn files_below_a_linked_directory_are_kept() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    for (id, paths, expected) in [
        (
            160,
            &["lnk/**"][..],
            "lnk/ lnk/g lnk/sub/ lnk/sub/f lnk/sub/loop",
        ),
        (161, &["lnk/"], "lnk/ lnk/g lnk/sub/ lnk/sub/f lnk/sub/loop"),
        (162, &["lnk/sub/f"], "lnk/sub/f"),
        (163, &["lnk/sub/*"], "lnk/sub/f lnk/sub/loop"),
        (164, &["lnk"], "lnk"),
        (165, &["two/*"], "two/f two/loop"),
    ] {
        assert_eq!(
            kept(&fake, &repository, id, paths).await,
            expected,
            "{paths:?}"
        );
    }
    runner.drain(&fake).await;
}

#[tokio::test]
async fn files_below_a_link_that_is_kept_itself_are_kept_in_their_place() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    for (id, paths, expected) in [
        (170, &["lnk", "lnk/sub/f"][..], "lnk real/sub/f"),
        (
            171,
            &["lnk/**", "lnk", "real/g"],
            "lnk real/ real/g real/sub/ real/sub/f real/sub/loop",
        ),
        (172, &["*/g", "lnk"], "lnk real/g"),
        (173, &["*n*", "tw*", "two/f"], "lnk real/sub/f two"),
    ] {
        assert_eq!(
            kept(&fake, &repository, id, paths).await,
            expected,
            "{paths:?}"
        );
    }
    runner.drain(&fake).await;
}

#[tokio::test]
async fn files_below_a_link_that_leads_out_are_kept() {
    let repository = Repository::with("FROM scratch\n");
    let fake = FakeCoordinator::start();
    let runner = runner(&fake).await;
    for (id, paths) in [
        (176, &["out", "out/deep/o"][..]),
        (177, &["out/deep/*"]),
        (178, &["out/*/o"]),
    ] {
        assert_eq!(
            kept(&fake, &repository, id, paths).await,
            "out/deep/o",
            "{paths:?}"
        );
    }
    runner.drain(&fake).await;
}
