//! Layers that are taken from an earlier image.

use slipway_domain::ImageBuild;
use slipway_image_builder::Backend;

use crate::docker::{BOTH, SHELL, Told, builder, checkout, registry, request, run, unique};

/// A build that takes layers from `main` of its repository, and becomes `main`.
fn spec(repository: &str) -> ImageBuild {
    ImageBuild {
        repository: Some(repository.parse().unwrap()),
        tags: vec!["main".to_owned()],
        cache_tag: Some("main".to_owned()),
        ..ImageBuild::default()
    }
}

#[tokio::test]
async fn a_branch_has_layers_for_its_next_build_and_its_first_does_without() {
    for backend in BOTH {
        let word = unique();
        let dir = checkout(&format!("{SHELL}RUN echo said {word}\n"));
        let repository = format!("{}/test/{}", registry(), unique());
        let name = format!("{repository}:main");
        let builder = builder(backend).await;
        let build = async |spec: ImageBuild| {
            let told = Told::default();
            let request = request(dir.path(), spec);
            run(&builder, &request, &told).await.unwrap();
            assert_eq!(builder.remove_leftovers().await.unwrap(), 0);
            told.text()
        };
        let first = build(spec(&repository)).await;
        let without = format!("Nothing is taken from {name}: ");
        assert!(first.contains(&without), "{first}");
        assert!(first.contains(&format!("said {word}\n")), "{first}");

        let second = build(spec(&repository)).await;
        assert!(!second.contains("Nothing is taken"), "{second}");
        // The first builder keeps no cache but images, and of the first build none is here.
        let sign = match backend {
            Backend::BuildKit => "importing cache manifest from",
            Backend::Classic => "Using cache",
        };
        assert!(second.contains(sign), "{second}");

        let anew = ImageBuild {
            no_cache: true,
            ..spec(&repository)
        };
        let third = build(anew).await;
        assert!(!third.contains("to take layers from"), "{third}");
        assert!(third.contains(&format!("said {word}\n")), "{third}");
    }
}
