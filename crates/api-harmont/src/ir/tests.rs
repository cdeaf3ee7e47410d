use serde_json::json;

use super::*;

fn parsed(graph: Value) -> Parsed<StepGraph> {
    parse(&graph.to_string())
}

fn code(graph: Value) -> String {
    parsed(graph).unwrap_err().code
}

fn of_steps(steps: Value) -> Value {
    json!({"version": "0", "steps": steps})
}

fn command(key: &str, more: Value) -> Value {
    let mut step = json!({"type": "command", "key": key, "cmd": "true"});
    if let (Value::Object(step), Value::Object(more)) = (&mut step, more) {
        step.extend(more);
    }
    step
}

#[test]
fn every_error_in_a_graph_has_a_code() {
    assert_eq!(parse("not json").unwrap_err().code, "invalid_json");
    assert_eq!(code(json!([])), "invalid_ir");
    assert_eq!(code(json!({"version": "1"})), "bad_version");
    assert_eq!(code(json!({"version": 0})), "bad_version");
    assert_eq!(code(json!({"steps": []})), "invalid_ir");
    let two = json!([command("a", json!({})), command("a", json!({}))]);
    assert_eq!(code(of_steps(two)), "duplicate_key");
    let lost = json!([command("a", json!({"builds_in": "x"}))]);
    assert_eq!(code(of_steps(lost)), "unknown_dependency");
    let ring = json!([
        command("a", json!({"builds_in": "b"})),
        command("b", json!({"builds_in": "a"})),
    ]);
    assert_eq!(code(of_steps(ring)), "cycle");
    let back = json!([
        command("a", json!({"builds_in": "b"})),
        json!({"type": "wait"}),
        command("b", json!({})),
    ]);
    assert_eq!(code(of_steps(back)), "cycle");
    for step in [
        json!(5),
        json!({"type": "foo"}),
        json!({"key": "a", "cmd": "true"}),
        json!({"type": "command", "key": "", "cmd": "true"}),
        json!({"type": "command", "key": "a", "cmd": " "}),
        json!({"type": "command", "key": "a"}),
        json!({"type": "wait", "continue_on_failure": "no"}),
        command("a", json!({"cache": {"policy": "sometimes"}})),
        command("a", json!({"cache": 1})),
        command("a", json!({"env": {"A": 1}})),
        command("a", json!({"timeout_seconds": 0})),
        command("a\0", json!({})),
    ] {
        assert_eq!(
            code(of_steps(json!([step.clone()]))),
            "invalid_ir",
            "{step}"
        );
    }
}

#[test]
fn a_list_has_images_variables_and_waits() {
    let mut graph = of_steps(json!([
        command(
            "a",
            json!({"label": "A", "env": {"X": "own"}, "timeout_seconds": 5})
        ),
        command("b", json!({"builds_in": "a"})),
        json!({"type": "wait"}),
        command(
            "c",
            json!({"image": "alpine", "cache": {"policy": "ttl", "key": "k"}})
        ),
        command("d", json!({"builds_in": "b"})),
    ]));
    graph["default_image"] = "debian".into();
    graph["env"] = json!({"X": "all", "Y": "all"});
    graph["timeout_seconds"] = 900.into();
    let graph = parsed(graph).unwrap();
    assert_eq!(graph.timeout_s, Some(900));
    let needs: Vec<Vec<usize>> = graph
        .steps
        .iter()
        .map(|step| step.needs.iter().copied().collect())
        .collect();
    assert_eq!(needs, [vec![], vec![0], vec![0, 1], vec![0, 1]]);
    let images: Vec<_> = graph.steps.iter().map(|s| s.image.as_deref()).collect();
    assert_eq!(images, [Some("debian"), None, Some("alpine"), None]);
    let parents: Vec<_> = graph.steps.iter().map(|step| step.builds_in).collect();
    assert_eq!(parents, [None, Some(0), None, Some(1)]);
    let first = &graph.steps[0];
    assert_eq!(
        (first.env["X"].as_str(), first.env["Y"].as_str()),
        ("own", "all")
    );
    assert_eq!((first.timeout_s, first.label.as_deref()), (5, Some("A")));
    assert_eq!(graph.steps[1].timeout_s, DEFAULT_TIMEOUT_S);
}

#[test]
fn both_forms_parse_to_the_same_graph() {
    let flat = of_steps(json!([
        command("a", json!({"env": {"CI": "1"}})),
        command("b", json!({"builds_in": "a"})),
    ]));
    let linked = |edges: Value| {
        json!({"version": "0", "graph": {"nodes": [
            {"step": {"key": "a", "cmd": "true", "env": {"NOT": "used"}}, "env": {"CI": "1"}},
            {"step": {"key": "b", "cmd": "true"}, "env": {}},
        ], "node_holes": [], "edge_property": "directed", "edges": edges}})
    };
    let same = parsed(linked(json!([[0, 1, "builds_in"]])));
    assert_eq!(same.unwrap(), parsed(flat).unwrap());
    let ring = json!([[0, 1, "builds_in"], [1, 0, "depends_on"]]);
    assert_eq!(code(linked(ring)), "cycle");
    for invalid in [
        json!([[0, 2, "depends_on"]]),
        json!([[0]]),
        json!([[0, 1, 1]]),
    ] {
        assert_eq!(code(linked(invalid)), "invalid_ir");
    }
    let other = parsed(linked(json!([[0, 1, "other"]]))).unwrap();
    assert_eq!(other.steps[1].builds_in, None);
    assert_eq!(other.steps[1].needs, BTreeSet::from([0]));
}
