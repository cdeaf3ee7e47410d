//! The classic builder while something else deletes images.

use slipway_domain::ImageBuild;
use slipway_image_builder::Backend;
use slipway_test_engine::{SHELL, docker};

use crate::docker::{RecordedProgress, builder, checkout, request, run, unique};

#[tokio::test]
async fn a_build_restarts_if_one_of_its_images_is_deleted() {
    let word = unique();
    let dir = checkout(&format!(
        "{SHELL}RUN echo {word} > /x\nENV A=b\n\
         {SHELL}RUN echo waits {word}; until [ -e /go ]; do sleep 0.1; done\nCOPY --from=0 /x /\n"
    ));
    let builder = builder(Backend::Classic).await;
    let request = request(dir.path(), ImageBuild::default());
    let progress = RecordedProgress::default();
    let remove = async {
        progress.wait_for(&format!("\nwaits {word}\n")).await;
        let text = progress.text();
        let (first_stage, _) = text.rsplit_once("FROM scratch").unwrap();
        docker(&["rmi", last_id(first_stage, "---> ")]);
        let container = last_id(&text, "Running in ");
        docker(&["exec", container, "sh", "-c", ": > /go"]);
    };
    let (built, ()) = tokio::join!(run(&builder, &request, &progress), remove);
    built.unwrap();
    let text = progress.text();
    let again = ["No such image: sha256:", "; building again\n"];
    assert!(again.iter().all(|words| text.contains(words)), "{text}");
    let steps = progress.steps();
    let first = steps.iter().filter(|step| step.name.contains("> /x"));
    assert_eq!(first.count(), 1, "{steps:?}");
}

/// The id after the last occurrence of `words`.
fn last_id<'a>(text: &'a str, words: &str) -> &'a str {
    let (_, rest) = text.rsplit_once(words).unwrap();
    rest.lines().next().unwrap()
}
