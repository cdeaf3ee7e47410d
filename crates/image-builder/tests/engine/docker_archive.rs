//! Saving an image as an archive.

use std::process::Command;

use slipway_domain::{FailureReason, ImageBuild};
use slipway_image_builder::BuildError;
use slipway_test_engine::{docker, remove_image};

use crate::docker::{RecordedProgress, backends, builder, checkout, request, run, unique};

const DOCKERFILE: &str = "FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT [\"/bin/busybox\"]\n";

fn exists(image: &str) -> bool {
    let mut command = Command::new("docker");
    let inspected = command.args(["image", "inspect", image]).output();
    inspected.unwrap().status.success()
}

fn names() -> Vec<String> {
    let word = unique();
    vec![
        format!("archive-{word}:v1"),
        format!("r.example:5000/acme/archive-{word}:latest"),
    ]
}

#[tokio::test]
async fn an_image_is_saved_with_names_that_the_engine_never_gets() {
    // A reproducible image has no label that names its job or owner.
    let kinds = backends().into_iter();
    let kinds = kinds.map(|backend| [(backend, None), (backend, Some(1))]);
    for (backend, source_date) in kinds.flatten() {
        let names = names();
        let dir = checkout(DOCKERFILE);
        let spec = ImageBuild {
            archive: names.clone(),
            ..ImageBuild::default()
        };
        let builder = builder(backend).await;
        let mut request = request(dir.path(), spec);
        request.source_date = source_date;
        run(&builder, &request, &RecordedProgress::default())
            .await
            .unwrap();
        let archive = dir.path().join("image.tar.gz");
        let saved = builder.save(&request.job, &names, &archive, None).await;
        assert_eq!(saved.unwrap(), archive.metadata().unwrap().len());
        assert!(!names.iter().any(|name| exists(name)));
        // Only the archive is left.
        builder.remove_job(&request.job).await.unwrap();
        assert_eq!(builder.remove_leftovers().await.unwrap(), 0);

        docker(&["load", "--input", archive.to_str().unwrap()]);
        for name in &names {
            let output = docker(&["run", "--rm", name, "echo", "it runs"]);
            assert_eq!(output, "it runs");
            remove_image(name);
        }
    }
}

#[tokio::test]
async fn an_archive_above_its_limit_fails() {
    let dir = checkout(DOCKERFILE);
    let spec = ImageBuild {
        archive: names(),
        ..ImageBuild::default()
    };
    let builder = builder(backends()[0]).await;
    let request = request(dir.path(), spec);
    run(&builder, &request, &RecordedProgress::default())
        .await
        .unwrap();
    let archive = dir.path().join("image.tar.gz");
    let names = names();
    let saving = builder.save(&request.job, &names, &archive, Some(100_000));
    let error = saving.await.unwrap_err();
    assert!(
        matches!(error, BuildError::ArchiveTooLarge { limit: 100_000 }),
        "{error:?}"
    );
    assert_eq!(error.reason(), FailureReason::JobFailed);
    assert!(archive.metadata().unwrap().len() < 100_000);
    builder.remove_job(&request.job).await.unwrap();
}
