//! Tests that run against both back ends. Those for S3 need `SLIPWAY_TEST_S3`, which
//! `cargo xtask test` sets to a server it starts.

use std::io;
use std::path::Path as FilePath;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::storage::probe_key;
use crate::{BlobError, BlobLocation, Blobs, PutError};

/// Larger than a part of either back end, and not a multiple of it.
const LARGE: usize = 20 * 1024 * 1024 + 7;

fn patterned(length: usize) -> Bytes {
    (0..length).map(|at| (at / 7) as u8).collect()
}

fn chunks(whole: &Bytes) -> Vec<Result<Bytes, io::Error>> {
    whole
        .chunks(100_000)
        .map(|chunk| Ok(whole.slice_ref(chunk)))
        .collect()
}

async fn a_stored_blob_is_read_back_and_replaced(blobs: Blobs) {
    blobs.put("a/b", "first".into()).await.expect("put");
    blobs.put("a/b", "second".into()).await.expect("put again");
    let read = blobs.read("a/b", None).await.expect("read");
    assert_eq!(read, "second");
    blobs.put("a/empty", Bytes::new()).await.expect("put");
    assert_eq!(blobs.read("a/empty", None).await.expect("read"), "");
}

async fn a_range_is_cut_at_the_end_of_the_blob(blobs: Blobs) {
    blobs.put("range", "0123456789".into()).await.expect("put");
    let part = blobs.get("range", Some(7..20)).await.expect("get");
    assert_eq!((part.size(), part.range()), (10, 7..10));
    assert_eq!(part.into_bytes().await.expect("bytes"), "789");
    assert_eq!(blobs.read("range", Some(2..4)).await.expect("read"), "23");
    assert_eq!(blobs.read("range", Some(4..4)).await.expect("read"), "");
    let after_end = blobs.read("range", Some(10..11)).await;
    assert!(
        matches!(after_end, Err(BlobError::OutOfRange { size: 10, .. })),
        "{after_end:?}"
    );
}

async fn a_missing_blob_is_not_found_and_can_be_deleted(blobs: Blobs) {
    for range in [None, Some(0..3), Some(2..3), Some(2..2)] {
        let found = blobs.read("absent", range).await;
        assert!(
            matches!(found, Err(BlobError::NotFound { .. })),
            "{found:?}"
        );
    }
    blobs.delete("absent").await.expect("delete");
    blobs.put("present", "x".into()).await.expect("put");
    blobs.delete("present").await.expect("delete");
    let found = blobs.get("present", None).await;
    assert!(matches!(found, Err(BlobError::NotFound { .. })));
}

async fn check_names_the_first_blob_that_is_not_whole(blobs: Blobs) {
    let key = |at: usize| format!("many/{at:02}");
    for at in 0..12 {
        blobs.put(&key(at), "0123456789".into()).await.expect("put");
    }
    let stored = |count: usize| (0..count).map(|at| (key(at), 10)).collect::<Vec<_>>();
    // Few blobs are looked at one by one, and many are listed.
    for count in [1, 12] {
        let mut all = stored(count);
        blobs.check("many", &all).await.expect("all are there");
        all.push((key(0), 11));
        let short = blobs.check("many", &all).await;
        assert!(
            matches!(
                short,
                Err(BlobError::Incomplete {
                    size: 10,
                    stored: 11,
                    ..
                })
            ),
            "{short:?}"
        );
        all.insert(0, (key(99), 10));
        let missing = blobs.check("many", &all).await;
        assert!(
            matches!(&missing, Err(BlobError::NotFound { key: found }) if *found == key(99)),
            "{missing:?}"
        );
    }
}

async fn a_blob_that_was_cut_short_is_incomplete_for_every_range(blobs: Blobs) {
    blobs.put("cut", "01234".into()).await.expect("put");
    for range in [None, Some(0..3), Some(2..10), Some(5..6), Some(7..10)] {
        let found = blobs.get_whole("cut", 10, range).await;
        assert!(
            matches!(
                found,
                Err(BlobError::Incomplete {
                    size: 5,
                    stored: 10,
                    ..
                })
            ),
            "{found:?}"
        );
    }
    let whole = blobs.get_whole("cut", 5, Some(1..3)).await.expect("whole");
    assert_eq!(whole.into_bytes().await.expect("bytes"), "12");
}

async fn delete_below_deletes_only_blobs_below_the_key(blobs: Blobs) {
    for key in ["jobs/1/a", "jobs/1/deep/b", "jobs/10/a"] {
        blobs.put(key, "x".into()).await.expect("put");
    }
    blobs.delete_below("jobs/1").await.expect("delete");
    blobs.delete_below("jobs/1").await.expect("delete again");
    assert!(blobs.read("jobs/1/a", None).await.is_err());
    assert!(blobs.read("jobs/1/deep/b", None).await.is_err());
    assert_eq!(blobs.read("jobs/10/a", None).await.expect("read"), "x");
}

async fn a_stored_stream_reports_its_size_and_hash(blobs: Blobs) {
    for length in [0, 5, LARGE] {
        let whole = patterned(length);
        let stored = blobs
            .put_stream("stream", length as u64, stream::iter(chunks(&whole)))
            .await
            .expect("stored");
        assert_eq!(stored.size, length as u64);
        assert_eq!(stored.sha256, sha256(&whole));
        assert!(blobs.read("stream", None).await.expect("read") == whole);
    }
}

async fn a_failed_stream_leaves_the_old_blob(blobs: Blobs) {
    blobs.put("kept", "old".into()).await.expect("put");
    let mut broken = chunks(&patterned(LARGE));
    broken.push(Err(io::Error::other("the client disconnected")));
    let failed = blobs
        .put_stream("kept", u64::MAX, stream::iter(broken))
        .await;
    assert!(matches!(failed, Err(PutError::Source(_))), "{failed:?}");
    assert_eq!(blobs.read("kept", None).await.expect("read"), "old");
}

async fn a_stream_over_the_limit_is_refused(blobs: Blobs) {
    for length in [11, LARGE] {
        let whole = patterned(length);
        let limit = length as u64 - 1;
        let refused = blobs
            .put_stream("long", limit, stream::iter(chunks(&whole)))
            .await;
        assert!(
            matches!(refused, Err(PutError::TooLarge { limit: reported }) if reported == limit),
            "{refused:?}"
        );
        let found = blobs.get("long", None).await;
        assert!(matches!(found, Err(BlobError::NotFound { .. })));
    }
}

async fn a_blob_is_visible_only_when_it_is_complete(blobs: Blobs) {
    let whole = patterned(LARGE);
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let (reader, expected) = (blobs.clone(), whole.clone());
    let watch = async move {
        for chunk in chunks(&expected) {
            sender.send(chunk).await.expect("the upload takes it");
        }
        let found = reader.get("whole", None).await;
        assert!(matches!(found, Err(BlobError::NotFound { .. })));
        drop(sender);
    };
    let source = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let (stored, ()) = tokio::join!(blobs.put_stream("whole", u64::MAX, Box::pin(source)), watch);
    assert_eq!(stored.expect("stored").sha256, sha256(&whole));
}

async fn list_returns_what_is_directly_in_a_folder(blobs: Blobs) {
    for key in ["jobs/7/a", "jobs/7/b", "jobs/7/deeper/c", "jobs/70/d"] {
        blobs.put(key, "x".into()).await.expect("put");
    }
    let keys = async |folder| {
        let listed = blobs.list(folder).await.expect("listed");
        let mut keys: Vec<String> = listed.into_iter().map(|listed| listed.key).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys("jobs/7").await, ["jobs/7/a", "jobs/7/b"]);
    assert_eq!(keys("jobs/8").await, Vec::<String>::new());
    for listed in blobs.list("jobs/7").await.expect("listed") {
        blobs.delete_listed(&listed).await.expect("deleted");
        blobs.delete_listed(&listed).await.expect("deleted again");
    }
    assert_eq!(keys("jobs/7").await, Vec::<String>::new());
    assert_eq!(keys("jobs/7/deeper").await, ["jobs/7/deeper/c"]);
}

async fn an_invalid_key_is_refused(blobs: Blobs) {
    for key in ["", "/a", "a/", "a//b", "../a", "a/../b", "a#1"] {
        let refused = blobs.put(key, "x".into()).await;
        assert!(
            matches!(refused, Err(BlobError::InvalidKey { .. })),
            "{key}"
        );
    }
}

fn sha256(bytes: &Bytes) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(bytes))
}

/// Generates a test of one back end for each test function.
macro_rules! backend_tests {
    ($open:expr => $($name:ident,)*) => {
        $(#[tokio::test]
        async fn $name() {
            let (blobs, _guard) = $open.await;
            super::$name(blobs).await;
        })*
    };
    ($open:expr) => {
        backend_tests! { $open =>
            a_stored_blob_is_read_back_and_replaced,
            a_range_is_cut_at_the_end_of_the_blob,
            a_missing_blob_is_not_found_and_can_be_deleted,
            check_names_the_first_blob_that_is_not_whole,
            a_blob_that_was_cut_short_is_incomplete_for_every_range,
            delete_below_deletes_only_blobs_below_the_key,
            a_stored_stream_reports_its_size_and_hash,
            a_failed_stream_leaves_the_old_blob,
            a_stream_over_the_limit_is_refused,
            a_blob_is_visible_only_when_it_is_complete,
            list_returns_what_is_directly_in_a_folder,
            an_invalid_key_is_refused,
        }
    };
}

mod s3 {
    use super::*;

    /// A separate prefix in the bucket, so that tests do not interfere.
    async fn fresh() -> (Blobs, ()) {
        let url = std::env::var("SLIPWAY_TEST_S3").expect(
            "SLIPWAY_TEST_S3 is not set: `cargo xtask test` starts an S3 server and sets it",
        );
        let mut location: BlobLocation = url.parse().expect("SLIPWAY_TEST_S3 is a blob location");
        if let BlobLocation::S3 { prefix, .. } = &mut location {
            *prefix = format!("{prefix}/{}", probe_key());
        }
        (Blobs::open(&location).await.expect("a bucket"), ())
    }

    backend_tests! { fresh() }
}

mod directory {
    use super::*;

    async fn fresh() -> (Blobs, tempfile::TempDir) {
        let root = tempfile::tempdir().expect("a directory");
        let location = BlobLocation::Directory(root.path().join("made/on/demand"));
        (Blobs::open(&location).await.expect("opened"), root)
    }

    backend_tests! { fresh() }

    #[tokio::test]
    async fn files_that_were_never_completed_are_listed_and_deleted() {
        let (blobs, root) = fresh().await;
        let folder = root.path().join("made/on/demand/jobs/7");
        std::fs::create_dir_all(&folder).expect("a directory");
        std::fs::write(folder.join("a#3"), "half").expect("a file");
        let listed = blobs.list("jobs/7").await.expect("listed");
        let keys: Vec<&str> = listed.iter().map(|listed| listed.key.as_str()).collect();
        assert_eq!(keys, ["jobs/7/a#3"]);
        blobs.delete_listed(&listed[0]).await.expect("deleted");
        assert_eq!(files(root.path()), 0);
    }

    #[tokio::test]
    async fn an_aborted_upload_leaves_no_file() {
        let (blobs, root) = fresh().await;
        let mut broken = chunks(&patterned(LARGE));
        broken.push(Err(io::Error::other("the client disconnected")));
        let failed = blobs
            .put_stream("x/y", u64::MAX, stream::iter(broken))
            .await;
        assert!(failed.is_err());
        assert_eq!(files(root.path()), 0);

        let endless = stream::iter(chunks(&patterned(LARGE))).chain(stream::pending());
        let upload = blobs.put_stream("x/y", u64::MAX, Box::pin(endless));
        let started = async {
            while files(root.path()) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = upload => panic!("the stream never ends"),
            () = started => {}
        }
        while files(root.path()) > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_unusable_location_is_reported_with_its_cause() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("file");
        std::fs::write(&file, "").expect("a file");
        let error = Blobs::open(&BlobLocation::Directory(file.join("blobs")))
            .await
            .expect_err("not a directory");
        assert!(error.to_string().contains("file/blobs"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }

    fn files(path: &FilePath) -> usize {
        let entries = std::fs::read_dir(path).expect("a directory");
        entries
            .map(|entry| entry.expect("an entry"))
            .map(|entry| match entry.file_type() {
                Ok(kind) if kind.is_dir() => files(&entry.path()),
                _ => 1,
            })
            .sum()
    }
}
