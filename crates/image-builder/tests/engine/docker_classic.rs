//! What may happen beside a build of the engine's first builder.

use slipway_domain::ImageBuild;
use slipway_image_builder::Backend;
use slipway_test_engine::{SHELL, docker};

use crate::docker::{Told, builder, checkout, request, run, unique};

#[tokio::test]
async fn a_build_whose_image_is_removed_beside_it_begins_again() {
    let word = unique();
    let dir = checkout(&format!(
        "{SHELL}RUN echo {word} > /x\nENV A=b\n\
         {SHELL}RUN echo waits {word}; until [ -e /go ]; do sleep 0.1; done\nCOPY --from=0 /x /\n"
    ));
    let builder = builder(Backend::Classic).await;
    let request = request(dir.path(), ImageBuild::default());
    let told = Told::default();
    let remove = async {
        told.wait_for(&format!("\nwaits {word}\n")).await;
        let text = told.text();
        let (first_stage, _) = text.rsplit_once("FROM scratch").unwrap();
        docker(&["rmi", last_id(first_stage, "---> ")]);
        let container = last_id(&text, "Running in ");
        docker(&["exec", container, "sh", "-c", ": > /go"]);
    };
    let (built, ()) = tokio::join!(run(&builder, &request, &told), remove);
    built.unwrap();
    let text = told.text();
    let again = ["No such image: sha256:", "; building again\n"];
    assert!(again.iter().all(|words| text.contains(words)), "{text}");
    let steps = told.steps();
    let first = steps.iter().filter(|step| step.name.contains("> /x"));
    assert_eq!(first.count(), 1, "{steps:?}");
}

/// The id that stands behind the last of these words.
fn last_id<'a>(text: &'a str, words: &str) -> &'a str {
    let (_, rest) = text.rsplit_once(words).unwrap();
    rest.lines().next().unwrap()
}
