//! What a build reports about its steps and its image.

use slipway_domain::ImageBuild;
use slipway_image_builder::Backend;
use slipway_test_engine::SHELL;

use crate::docker::{RecordedProgress, backends, builder, checkout, request, run, unique};

#[tokio::test]
async fn steps_are_reported_with_duration_and_cache_use() {
    for backend in backends() {
        let word = unique();
        let dir = checkout(&format!("{SHELL}RUN sleep 1 && echo {word}\nRUN exit 4\n"));
        let builder = builder(backend).await;
        let build = async |wanted: &str| {
            let progress = RecordedProgress::default();
            let request = request(dir.path(), ImageBuild::default());
            run(&builder, &request, &progress).await.unwrap_err();
            (progress.step(wanted), progress.step("RUN exit 4"))
        };
        let wanted = format!("echo {word}");
        let (slept, failed) = build(&wanted).await;
        assert!(
            (1000..30_000).contains(&slept.duration_ms),
            "{backend:?} {slept:?}"
        );
        assert!(!slept.cached && !slept.failed, "{slept:?}");
        assert!(!failed.cached && failed.failed, "{failed:?}");
        let (again, failed) = build(&wanted).await;
        // The classic builder caches nothing of a failed build.
        if backend == Backend::BuildKit {
            assert!(again.cached && again.duration_ms < 1000, "{again:?}");
        }
        assert!(failed.failed, "{failed:?}");
    }
}

#[tokio::test]
async fn a_built_image_has_its_platform_and_layers() {
    for backend in backends() {
        let dir = checkout(&format!(
            "{SHELL}ENV A=b\nRUN echo {} > /x\nCMD [\"x\"]\n",
            unique()
        ));
        let builder = builder(backend).await;
        let request = request(dir.path(), ImageBuild::default());
        let built = run(&builder, &request, &RecordedProgress::default())
            .await
            .unwrap();
        let details = built.details;
        assert_eq!(details.platform.as_ref(), builder.platform());
        let sizes: Vec<_> = details
            .layers
            .iter()
            .map(|layer| layer.size_bytes)
            .collect();
        // The store of containerd counts whole blocks, and the directories above a file.
        let is_small = sizes[1].is_some_and(|size| (33..100_000).contains(&size));
        assert!(is_small, "{details:?}");
        assert_eq!(sizes.len(), 2, "{details:?}");
        let busybox = std::fs::metadata("/bin/busybox").unwrap().len();
        assert!(sizes[0].unwrap() >= busybox, "{details:?}");
        assert_eq!(sizes[0].unwrap() + sizes[1].unwrap(), built.size_bytes);
        let ids: Vec<_> = details
            .layers
            .iter()
            .map(|layer| layer.diff_id.clone())
            .collect();
        assert!(ids.iter().all(|id| id.starts_with("sha256:")), "{ids:?}");
    }
}

#[tokio::test]
async fn a_long_line_stays_one_line() {
    let dir = checkout(&format!(
        "{SHELL}RUN printf '%040000d' 0; printf 'SEC'; printf 'RET'; printf '%030000d\\n' 1; echo {}\n",
        unique()
    ));
    let builder = builder(Backend::BuildKit).await;
    let progress = RecordedProgress::default();
    let request = request(dir.path(), ImageBuild::default());
    run(&builder, &request, &progress).await.unwrap();
    let text = progress.text();
    let long = text.lines().find(|line| line.len() > 60_000);
    let long = long.unwrap_or_else(|| panic!("no long line in {text}"));
    assert!(long.contains("0SECRET0"), "{long}");
}
