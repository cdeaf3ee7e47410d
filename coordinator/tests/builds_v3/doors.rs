//! Checks 52 and 58: what is not there, and tokens that are no user's.

use slipway_testkit::{Backend, on_both_back_ends};

use crate::client::Wire;
use crate::support::World;

on_both_back_ends!(
    check_52_an_unknown_path_is_404,
    check_58_tokens_of_machines_open_nothing,
);

async fn check_52_an_unknown_path_is_404(backend: Backend) {
    let world = World::start(backend).await;
    world
        .developer
        .get("/nope")
        .await
        .errs(404, "404 Not Found");
}

async fn check_58_tokens_of_machines_open_nothing(backend: Backend) {
    let world = World::start(backend).await;
    world.farm.build(&world.project).await;
    let runner = Wire::to(&world.farm).runner(&world.farm).await;
    let claim = runner.claim().await;
    let registration = world.farm.project_registration_token(&world.project).await;
    for token in [&runner.token, &claim.token, &registration] {
        let answer = world.holder_of(token).get("/version").await;
        answer.says(401, "401 Unauthorized");
    }
    world
        .nobody()
        .get("/version")
        .await
        .says(401, "401 Unauthorized");
}
