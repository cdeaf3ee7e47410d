//! The newest published SDK of Harmont, which speaks the second generation of the API.
//!
//! See `docs/protocols/harmont.md#generations`.

use slipway_testkit::{Backend, on_both_back_ends};
use tokio::process::Command;

use crate::fixture::Fixture;

on_both_back_ends!(every_function_of_the_published_sdk_works,);

async fn every_function_of_the_published_sdk_works(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    fixture.create_source_pipeline().await;
    let program = std::env::var("SLIPWAY_TEST_PUBLISHED_HARMONT_CLIENT").unwrap();
    let url = fixture.farm.url("/");
    let mut command = Command::new(program);
    command.args([url.trim_end_matches('/'), &fixture.member.token]);
    let output = command.kill_on_drop(true).output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let access = fixture.farm.project("new-org/local-work").await;
    assert_eq!(access.project().repo_url, "acme/local");
}
