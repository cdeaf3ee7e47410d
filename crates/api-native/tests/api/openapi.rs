//! The OpenAPI document is complete and consistent. That it is valid, and that clients can be
//! generated from it, is tested in `coordinator/tests/generated_clients`.

use std::collections::BTreeSet;

use serde_json::Value;

fn document() -> Value {
    slipway_api_native::openapi()
}

/// All operations, as path, method and operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            operations.push((path.as_str(), method.as_str(), operation));
        }
    }
    operations
}

#[test]
fn operation_ids_are_unique() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, _, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} of {path} is used twice");
    }
}

#[test]
fn every_response_has_a_description_and_every_error_a_body() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let description = response["description"].as_str().unwrap_or_default();
            assert!(!description.is_empty(), "{method} {path} {status}");
            let is_error = status.as_str() >= "400";
            let refers = response.to_string().contains("/ErrorBody");
            assert_eq!(is_error, refers, "{method} {path} {status}");
        }
        for status in ["401", "403", "500", "503"] {
            assert!(responses.contains_key(status), "{method} {path} {status}");
        }
        let has_parameters = path.contains('{');
        assert!(
            !has_parameters || responses.contains_key("404"),
            "{method} {path}"
        );
        assert!(
            !has_parameters || responses.contains_key("400"),
            "{method} {path}"
        );
    }
}

#[test]
fn every_parameter_of_a_path_is_declared() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let named = path.split('{').skip(1);
        let named: BTreeSet<&str> = named.map(|rest| rest.split('}').next().unwrap()).collect();
        assert!(
            operation.get("parameters").is_none_or(Value::is_array),
            "{method} {path}"
        );
        let parameters = operation["parameters"].as_array();
        let in_path = parameters
            .into_iter()
            .flatten()
            .filter(|one| one["in"] == "path");
        let declared: BTreeSet<&str> = in_path
            .map(|parameter| {
                assert_eq!(parameter["required"], true, "{method} {path}");
                parameter["name"].as_str().unwrap()
            })
            .collect();
        assert_eq!(named, declared, "{method} {path}");
    }
}

#[test]
fn every_referenced_schema_exists_and_every_schema_is_used() {
    let document = document();
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let referenced: BTreeSet<&str> = text
        .split("#/components/schemas/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let defined: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    assert_eq!(referenced, defined);
}

#[test]
fn all_parts_of_a_composed_schema_are_objects() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for (name, schema) in schemas.as_object().unwrap() {
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let referenced = part["$ref"]
                .as_str()
                .map(|one| one.rsplit('/').next().unwrap());
            let part = referenced.map_or(part, |name| &schemas[name]);
            assert!(
                part["type"] == "object" || part["allOf"].is_array(),
                "{name}: {part}"
            );
        }
    }
}

#[test]
fn names_and_states_have_the_form_that_the_server_accepts() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let name = &schemas["NewProject"]["properties"]["name"];
    assert_eq!(name["pattern"], slipway_domain::image::IMAGE_PATH_PATTERN);
    assert_eq!(name["maxLength"], 100);
    let branch = &schemas["NewProject"]["properties"]["default_branch"];
    assert_eq!(
        branch["type"],
        serde_json::json!(["string", "null"]),
        "{branch}"
    );
    assert_eq!(schemas["BuildState"]["enum"].as_array().unwrap().len(), 6);
    let required = schemas["Build"]["required"].as_array().unwrap();
    assert!(required.iter().any(|one| one == "finished_at"));
    let required = &schemas["NewBuild"]["required"];
    assert!(required.is_null(), "{required}");
}

#[test]
fn a_job_counts_the_bytes_that_its_trace_lacks() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let job = &schemas["Job"];
    let missing = &job["properties"]["trace_missing_bytes"];
    assert_eq!(missing["type"], "integer", "{job}");
    assert!(
        missing["description"].as_str().unwrap().contains("limit"),
        "{missing}"
    );
    let required = job["required"].as_array().unwrap();
    assert!(required.contains(&"trace_missing_bytes".into()), "{job}");
}
