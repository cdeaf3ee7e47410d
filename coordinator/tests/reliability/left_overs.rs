//! Stored bytes to which no row refers are deleted.

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use slipway_testkit::{Backend, TestFarm, on_both_back_ends};

use crate::client::{Claimed, Request, register};

on_both_back_ends!(
    bytes_without_a_row_are_deleted_two_hours_after_the_end_of_their_job,
    bytes_that_are_older_than_their_job_stay,
);

/// Checks that the storage has nothing but what rows refer to, when all jobs have ended.
pub(crate) async fn nothing_is_left_over(farm: &mut TestFarm) {
    // The clock of the storage is that of the system.
    for file in farm.blob_files() {
        set_modified(&file, farm.clock.now().into());
    }
    farm.advance(3 * 3600);
    farm.farm().delete_orphans().await.unwrap();
    let reply = Request::delete_project(farm).send(farm).await.unwrap();
    assert!((200..300).contains(&reply.status), "{reply:?}");
    // The project had all that rows refer to.
    assert_eq!(farm.blob_files(), Vec::<std::path::PathBuf>::new());
}

fn set_modified(file: &Path, at: SystemTime) {
    File::options()
        .write(true)
        .open(file)
        .and_then(|file| file.set_modified(at))
        .unwrap();
}

/// A farm with a job that has ended, its trace of one chunk, and files beside it to which no row
/// refers.
async fn farm_with_orphans(backend: Backend) -> TestFarm {
    let farm = TestFarm::start(backend).await;
    farm.project("acme/api").await;
    let runner = register(&farm).await;
    let send = async |request: Request| {
        let reply = request.send(&farm).await.unwrap();
        assert!((200..300).contains(&reply.status), "{reply:?}");
        reply
    };
    send(Request::create_build(&farm)).await;
    let id = "3f0c9f0e-6d0c-4d4e-9a60-1d2a9ad3a001";
    let claimed = Claimed::read(&send(Request::claim(&runner, id)).await);
    send(Request::append(&claimed, 0, b"a trace\n")).await;
    send(Request::finish(
        &runner,
        claimed.job,
        "success",
        b"a trace\n",
    ))
    .await;
    let chunk = farm.blob_files().remove(0);
    let traces = chunk.parent().unwrap().to_owned();
    let artifacts = traces.parent().unwrap().parent().unwrap();
    let artifacts = artifacts.join("artifacts").join(claimed.job.to_string());
    std::fs::create_dir_all(&artifacts).unwrap();
    // A chunk, a piece, and a write that was cut.
    for orphan in [
        traces.join("0123"),
        artifacts.join("4567"),
        artifacts.join("89ab#1"),
    ] {
        std::fs::write(orphan, "orphan").unwrap();
    }
    assert_eq!(farm.stored_blobs(), 4);
    farm
}

async fn bytes_without_a_row_are_deleted_two_hours_after_the_end_of_their_job(backend: Backend) {
    let mut farm = farm_with_orphans(backend).await;
    farm.advance(2 * 3600 - 60);
    assert_eq!(farm.farm().delete_orphans().await.unwrap(), 0);
    assert_eq!(farm.stored_blobs(), 4);
    farm.advance(120);
    assert_eq!(farm.farm().delete_orphans().await.unwrap(), 3);
    assert_eq!(farm.stored_blobs(), 1);
    nothing_is_left_over(&mut farm).await;
}

async fn bytes_that_are_older_than_their_job_stay(backend: Backend) {
    let farm = farm_with_orphans(backend).await;
    let long_ago = SystemTime::now() - std::time::Duration::from_secs(86400);
    for file in farm.blob_files() {
        set_modified(&file, long_ago);
    }
    farm.advance(3 * 3600);
    assert_eq!(farm.farm().delete_orphans().await.unwrap(), 0);
    assert_eq!(farm.stored_blobs(), 4);
}
