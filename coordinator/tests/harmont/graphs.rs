//! Graphs of new builds.
//!
//! See `docs/protocols/harmont.md#graphs`.

use serde_json::{Value, json};
use slipway_testkit::{Backend, on_both_back_ends};

use crate::fixture::{BUILDS, Fixture, build_request, two_steps};

on_both_back_ends!(
    invalid_graph_returns_422_and_leaves_a_failed_build,
    list_form_and_graph_form_create_the_same_jobs,
    empty_graph_passes_at_once,
    job_spec_has_image_and_variables_from_the_graph,
    builds_in_requires_an_image_repository,
    build_without_a_graph_has_the_jobs_of_its_pipeline,
);

async fn invalid_graph_returns_422_and_leaves_a_failed_build(backend: Backend) {
    let fixture = Fixture::new(backend).await;
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
        let new_build = json!({"branch": "main", "commit": "c", "pipeline_ir": graph});
        let response = fixture.member.post(BUILDS, &new_build).await;
        response.fails_with_code(422, "validation_failed", "build_plan_rejected");
        let build = fixture.read_build(number).await;
        assert_eq!(build["state"], "failed", "{build}");
        assert_eq!(build["error_code"], code, "{build}");
        assert!(build["error_message"].is_string() && build["finished_at"].is_string());
        assert_eq!(fixture.jobs(number).await, [json!(null); 0]);
    }
    assert_eq!(fixture.count_builds().await, 6);
}

async fn list_form_and_graph_form_create_the_same_jobs(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let linked = json!({"version": "0", "graph": {
        "nodes": [
            {"step": {"key": "a", "cmd": "make a"}, "env": {}},
            {"step": {"key": "b", "cmd": "make b", "label": "B"}, "env": {}},
        ],
        "node_holes": [], "edge_property": "directed", "edges": [[0, 1, "builds_in"]],
    }});
    let (flat, linked) = (
        fixture.create_build(&two_steps()).await,
        fixture.create_build(&linked).await,
    );
    let summary = async |number: i64| -> Vec<Value> {
        let jobs = fixture.jobs(number).await;
        let position = |id: &Value| jobs.iter().position(|job| &job["id"] == id);
        let summary = |job: &Value| {
            let needs = job["depends_on"].as_array().unwrap().iter().map(position);
            json!([
                job["step_key"],
                job["name"],
                job["command"],
                needs.collect::<Vec<_>>()
            ])
        };
        jobs.iter().map(summary).collect()
    };
    let expected = [
        json!(["a", null, "make a", []]),
        json!(["b", "B", "make b", [0]]),
    ];
    assert_eq!(summary(flat).await, expected);
    assert_eq!(summary(linked).await, expected);
    let ring = json!({"graph": {
        "nodes": [{"step": {"key": "a", "cmd": "x"}}, {"step": {"key": "b", "cmd": "x"}}],
        "edges": [[0, 1, "depends_on"], [1, 0, "depends_on"]],
    }});
    let response = fixture.member.post(BUILDS, &build_request(&ring)).await;
    response.fails_with_code(422, "validation_failed", "build_plan_rejected");
    assert_eq!(fixture.read_build(3).await["error_code"], "cycle");
}

async fn empty_graph_passes_at_once(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let number = fixture
        .create_build(&json!({"version": "0", "steps": []}))
        .await;
    let build = fixture.read_build(number).await;
    assert_eq!(build["state"], "passed", "{build}");
    assert!(build["finished_at"].is_string());
    assert_eq!(fixture.jobs(number).await, [json!(null); 0]);
}

async fn job_spec_has_image_and_variables_from_the_graph(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let mut graph = two_steps();
    graph["default_image"] = "debian:12".into();
    graph["env"] = json!({"X": "pipeline", "Y": "pipeline"});
    graph["steps"][0]["env"] = json!({"X": "step"});
    let mut new_build = build_request(&graph);
    new_build["env"] = json!({"X": "build", "Y": "build", "Z": "build"});
    fixture.member.post(BUILDS, &new_build).await.is(201);
    let runner = fixture.register_runner().await;
    let claim = runner.start_job().await;
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
    let claim = runner.start_job().await;
    let script = &claim.payload["own"]["spec"];
    assert_eq!(
        script["image"], "registry.example/acme/web@sha256:1",
        "{script}"
    );
    assert_eq!(script["goes_on"], true);
}

async fn builds_in_requires_an_image_repository(backend: Backend) {
    let fixture = Fixture::with(backend, |config| config.registry = None).await;
    let response = fixture
        .member
        .post(BUILDS, &build_request(&two_steps()))
        .await;
    response.fails_with_code(422, "validation_failed", "build_plan_rejected");
    assert_eq!(fixture.read_build(1).await["error_code"], "invalid_ir");
}

async fn build_without_a_graph_has_the_jobs_of_its_pipeline(backend: Backend) {
    let fixture = Fixture::new(backend).await;
    let sha = slipway_testkit::farm::SHA;
    let new_build = json!({"branch": "main", "commit": sha, "pipeline_ir": " "});
    fixture.member.post(BUILDS, &new_build).await.is(201);
    let jobs = fixture.jobs(1).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["step_key"], "image");
    assert_eq!(jobs[0]["command"], Value::Null);
    // A short commit must be resolved by the git host, which is unreachable here.
    let new_build = json!({"branch": "main", "commit": "short"});
    let response = fixture.member.post(BUILDS, &new_build).await;
    response.fails_with_code(422, "validation_failed", "build_plan_rejected");
    assert_eq!(fixture.read_build(2).await["error_code"], "render_failed");
}
