//! Graphs that builds are handed in with: checks 18 to 21 and 35.

use serde_json::{Value, json};
use slipway_testkit::Backend;

use crate::support::{B, World, g, of};

slipway_testkit::on_both_back_ends!(
    checks_18_to_20_a_graph_that_cannot_be_fails_its_build,
    check_21_both_forms_of_a_graph_make_the_same_jobs,
    check_35_nothing_to_do_is_done,
    what_a_runner_is_told_follows_from_the_graph,
    a_step_builds_in_another_only_where_images_can_be_kept,
    a_build_without_a_graph_has_the_jobs_of_its_pipeline,
);

async fn checks_18_to_20_a_graph_that_cannot_be_fails_its_build(backend: Backend) {
    let world = World::start(backend).await;
    let command = |key: &str, parent: Value| json!({"type": "command", "key": key, "cmd": "true", "builds_in": parent});
    let steps = |steps: Value| json!({"version": "0", "steps": steps}).to_string();
    let cases = [
        (json!({"version": "1"}).to_string(), "bad_version"),
        ("not json".to_owned(), "invalid_json"),
        (
            steps(json!([
                command("a", json!(null)),
                command("a", json!(null))
            ])),
            "duplicate_key",
        ),
        (
            steps(json!([command("a", json!("x"))])),
            "unknown_dependency",
        ),
        (
            steps(json!([command("a", json!("b")), command("b", json!("a"))])),
            "cycle",
        ),
        (steps(json!([{"type": "foo"}])), "invalid_ir"),
    ];
    for (position, (graph, code)) in cases.into_iter().enumerate() {
        let number = i64::try_from(position).unwrap() + 1;
        let asked = json!({"branch": "main", "commit": "c", "pipeline_ir": graph});
        let answer = world.ana.post(B, &asked).await;
        answer.error(422, "validation_failed", "build_plan_rejected");
        let build = world.read(number).await;
        assert_eq!(build["state"], "failed", "{build}");
        assert_eq!(build["error_code"], code, "{build}");
        assert!(build["error_message"].is_string() && build["finished_at"].is_string());
        assert_eq!(world.jobs(number).await, [json!(null); 0]);
    }
    assert_eq!(world.count().await, 6);
}

async fn check_21_both_forms_of_a_graph_make_the_same_jobs(backend: Backend) {
    let world = World::start(backend).await;
    let linked = json!({"version": "0", "graph": {
        "nodes": [
            {"step": {"key": "a", "cmd": "make a"}, "env": {}},
            {"step": {"key": "b", "cmd": "make b", "label": "B"}, "env": {}},
        ],
        "node_holes": [], "edge_property": "directed", "edges": [[0, 1, "builds_in"]],
    }});
    let (flat, linked) = (world.build(&g()).await, world.build(&linked).await);
    let told = async |number: i64| -> Vec<Value> {
        let jobs = world.jobs(number).await;
        let position = |id: &Value| jobs.iter().position(|job| &job["id"] == id);
        let told = |job: &Value| {
            let needs = job["depends_on"].as_array().unwrap().iter().map(position);
            json!([
                job["step_key"],
                job["name"],
                job["command"],
                needs.collect::<Vec<_>>()
            ])
        };
        jobs.iter().map(told).collect()
    };
    let expected = [
        json!(["a", null, "make a", []]),
        json!(["b", "B", "make b", [0]]),
    ];
    assert_eq!(told(flat).await, expected);
    assert_eq!(told(linked).await, expected);
    let ring = json!({"graph": {
        "nodes": [{"step": {"key": "a", "cmd": "x"}}, {"step": {"key": "b", "cmd": "x"}}],
        "edges": [[0, 1, "depends_on"], [1, 0, "depends_on"]],
    }});
    let answer = world.ana.post(B, &of(&ring)).await;
    answer.error(422, "validation_failed", "build_plan_rejected");
    assert_eq!(world.read(3).await["error_code"], "cycle");
}

async fn check_35_nothing_to_do_is_done(backend: Backend) {
    let world = World::start(backend).await;
    let number = world.build(&json!({"version": "0", "steps": []})).await;
    let build = world.read(number).await;
    assert_eq!(build["state"], "passed", "{build}");
    assert!(build["finished_at"].is_string());
    assert_eq!(world.jobs(number).await, [json!(null); 0]);
}

async fn what_a_runner_is_told_follows_from_the_graph(backend: Backend) {
    let world = World::start(backend).await;
    let mut graph = g();
    graph["default_image"] = "debian:12".into();
    graph["env"] = json!({"X": "pipeline", "Y": "pipeline"});
    graph["steps"][0]["env"] = json!({"X": "step"});
    let mut asked = of(&graph);
    asked["env"] = json!({"X": "build", "Y": "build", "Z": "build"});
    world.ana.post(B, &asked).await.is(201);
    let runner = world.runner().await;
    let claim = runner.begin().await;
    let script = claim.payload["own"]["spec"].clone();
    assert_eq!(script["image"], "debian:12", "{script}");
    let kept = script["keep"].as_str().unwrap();
    assert!(
        kept.starts_with("registry.example/acme/web:step-"),
        "{kept}"
    );
    let env = json!({"X": "step", "Y": "pipeline", "Z": "build"});
    assert_eq!(script["variables"], env);
    let image = json!({"reference": kept, "digest": "sha256:1", "tags": [], "size_bytes": 1});
    let end = claim.put(json!({"state": "success", "image": image})).await;
    end.is(200);
    let claim = runner.begin().await;
    let script = &claim.payload["own"]["spec"];
    assert_eq!(
        script["image"], "registry.example/acme/web@sha256:1",
        "{script}"
    );
    assert_eq!(script["goes_on"], true);
}

async fn a_step_builds_in_another_only_where_images_can_be_kept(backend: Backend) {
    let world = World::with(backend, |config| config.registry = None).await;
    let answer = world.ana.post(B, &of(&g())).await;
    answer.error(422, "validation_failed", "build_plan_rejected");
    assert_eq!(world.read(1).await["error_code"], "invalid_ir");
}

async fn a_build_without_a_graph_has_the_jobs_of_its_pipeline(backend: Backend) {
    let world = World::start(backend).await;
    let sha = slipway_testkit::farm::SHA;
    let asked = json!({"branch": "main", "commit": sha, "pipeline_ir": " "});
    world.ana.post(B, &asked).await.is(201);
    let jobs = world.jobs(1).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["step_key"], "image");
    assert_eq!(jobs[0]["command"], Value::Null);
    // Nothing tells which commit that would be, and the repository cannot be asked.
    let asked = json!({"branch": "main", "commit": "short"});
    let answer = world.ana.post(B, &asked).await;
    answer.error(422, "validation_failed", "build_plan_rejected");
    assert_eq!(world.read(2).await["error_code"], "render_failed");
}
