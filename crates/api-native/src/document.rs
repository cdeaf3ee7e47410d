//! Completes the OpenAPI document: what the macros cannot express, or would have to repeat for every
//! operation.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::wire::schemas;

const SCHEMAS: &str = "#/components/schemas/";
const JSON: &str = "application/json";
/// The methods of a path, among its other members.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The errors that every operation can answer, and their descriptions where the operation has none.
const COMMON_ERRORS: [(&str, &str); 4] = [
    ("401", "The token is missing or invalid."),
    (
        "403",
        "The token lacks the scope for this operation, or the caller lacks the role.",
    ),
    ("500", "Internal error."),
    (
        "503",
        "Temporarily unavailable. Send the request again later.",
    ),
];
/// The errors of operations with a body in JSON.
const BODY_ERRORS: [(&str, &str); 3] = [
    ("400", "The body is invalid."),
    ("413", "The body is too large."),
    ("415", "The content type is not `application/json`."),
];

/// Completes the document that the macros created.
pub(crate) fn complete(mut document: Value) -> Value {
    each_operation(&mut document, complete_operation);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        list_by_reference(schemas);
        schemas.extend(schemas::words());
    }
    require_sent_members(&mut document);
    let texts = schemas::texts();
    inline_texts(&mut document, &texts);
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        schemas.retain(|name, _| !texts.contains_key(name));
    }
    document["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer"},
        "private_token": {"type": "apiKey", "in": "header", "name": "Private-Token"},
    });
    document
}

fn each_operation(document: &mut Value, mut complete: impl FnMut(&mut Value)) {
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    for item in paths.values_mut() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method) {
                complete(operation);
            }
        }
    }
}

/// Adds the token, the statuses that the description lists, and the errors of all operations.
fn complete_operation(operation: &mut Value) {
    operation["security"] = json!([{"token": []}, {"private_token": []}]);
    let described = statuses(operation["description"].as_str().unwrap_or_default());
    let has_json = operation["requestBody"]["content"].get(JSON).is_some();
    if let Some(body) = operation.get_mut("requestBody") {
        body["required"] = true.into();
    }
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for (status, text) in &described {
        describe(responses, status, text);
    }
    let body_errors = BODY_ERRORS.iter().filter(|_| has_json);
    for (status, text) in COMMON_ERRORS.iter().chain(body_errors) {
        if !described.iter().any(|(known, _)| known == status) {
            describe(responses, status, text);
        }
    }
    // Indexing for a change would add the member where it is missing.
    let parameters = operation.get_mut("parameters");
    let parameters = parameters.and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        parameter["schema"] = without_null(&parameter["schema"]);
    }
}

/// Sets the description of a response. An error is added with its body.
fn describe(responses: &mut Map<String, Value>, status: &str, text: &str) {
    let response = responses.entry(status).or_insert_with(|| json!({}));
    response["description"] = text.into();
    if status >= "400" {
        let schema = json!({"$ref": format!("{SCHEMAS}ErrorBody")});
        response["content"] = json!({JSON: {"schema": schema}});
    }
    let header = match status {
        "401" => "WWW-Authenticate",
        "416" => "Content-Range",
        "429" | "503" => "Retry-After",
        _ => return,
    };
    response["headers"] = json!({header: {"schema": {"type": "string"}}});
}

/// The statuses that a description lists, in the form `Status: 200; 404 if the job does not exist.`
fn statuses(description: &str) -> Vec<(String, String)> {
    let Some((_, list)) = description.split_once("Status: ") else {
        return Vec::new();
    };
    let list = list.split_whitespace().collect::<Vec<_>>().join(" ");
    let list = list.trim_end_matches('.');
    let of = |entry: &str| {
        let (status, text) = entry.split_at_checked(3)?;
        let text = text.trim_start_matches([',', ' ']);
        let text = match (text, status) {
            ("", "200") => "Success".to_owned(),
            ("", "201") => "Created".to_owned(),
            ("", "204") => "No content".to_owned(),
            (text, _) => capitalized(text),
        };
        Some((status.to_owned(), format!("{text}.")))
    };
    list.split("; ").filter_map(of).collect()
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// The schema of a parameter: outside of a body, nothing can be null.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let not_null = |one: &Value| *one != "null" && one["type"] != "null";
    for member in ["type", "oneOf"] {
        let Some(all) = schema[member].as_array() else {
            continue;
        };
        let kept: Vec<Value> = all.iter().filter(|one| not_null(one)).cloned().collect();
        match (member, kept.as_slice()) {
            ("type", [one]) => schema["type"] = one.clone(),
            (_, [one]) => return one.clone(),
            _ => schema[member] = kept.into(),
        }
    }
    schema
}

/// Makes the schema of a list refer to its items. The macro repeats their schema.
fn list_by_reference(schemas: &mut Map<String, Value>) {
    let names: Vec<String> = schemas.keys().cloned().collect();
    for name in names {
        let Some(item) = name.strip_prefix("Listing_") else {
            continue;
        };
        let items = json!({"$ref": format!("{SCHEMAS}{item}")});
        schemas[&name]["properties"]["items"]["items"] = items;
    }
}

/// Marks all members of responses as required: the server always sends them, with null for no value.
fn require_sent_members(document: &mut Value) {
    let mut received = BTreeSet::new();
    let mut sent = BTreeSet::new();
    let all = document["components"]["schemas"].clone();
    each_operation(document, |operation| {
        collect(&operation["requestBody"], &all, &mut received);
        collect(&operation["responses"], &all, &mut sent);
    });
    let Some(schemas) = document["components"]["schemas"].as_object_mut() else {
        return;
    };
    for name in sent.difference(&received) {
        if let Some(schema) = schemas.get_mut(name) {
            require_all(schema);
        }
    }
}

/// Adds the names of all schemas to which `value` refers, directly or through others.
fn collect(value: &Value, all: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|reference| reference.strip_prefix(SCHEMAS));
            if let Some(name) = name
                && names.insert(name.to_owned())
            {
                collect(&all[name], all, names);
            }
            members.values().for_each(|one| collect(one, all, names));
        }
        Value::Array(list) => list.iter().for_each(|one| collect(one, all, names)),
        _ => {}
    }
}

fn require_all(schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object() {
        schema["required"] = properties.keys().cloned().collect::<Vec<_>>().into();
    }
    let parts = schema.get_mut("allOf").and_then(Value::as_array_mut);
    for part in parts.into_iter().flatten() {
        if part.get("$ref").is_none() {
            require_all(part);
        }
    }
}

/// Replaces references to texts with their schemas: generators then use plain strings.
fn inline_texts(value: &mut Value, texts: &Map<String, Value>) {
    match value {
        Value::Object(members) => {
            members
                .values_mut()
                .for_each(|one| inline_texts(one, texts));
            let reference = members.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|reference| reference.strip_prefix(SCHEMAS));
            let text = name.and_then(|name| texts.get(name));
            if let Some(Value::Object(text)) = text {
                members.remove("$ref");
                members.extend(text.clone());
            }
            join_null(members);
        }
        Value::Array(list) => list.iter_mut().for_each(|one| inline_texts(one, texts)),
        _ => {}
    }
}

/// Writes "null or one plain schema" as one schema with two types.
fn join_null(members: &mut Map<String, Value>) {
    let choices = members.get("oneOf").and_then(Value::as_array);
    let Some([first, second]) = choices.map(Vec::as_slice) else {
        return;
    };
    let is_null = |schema: &Value| schema["type"] == "null";
    let one = if is_null(first) { second } else { first };
    let Some(one) = one.as_object() else { return };
    let is_plain = one.get("type").is_some_and(Value::is_string) && !one.contains_key("properties");
    if !(is_null(first) || is_null(second)) || !is_plain {
        return;
    }
    let mut one = one.clone();
    one["type"] = json!([one["type"], "null"]);
    members.remove("oneOf");
    for (name, value) in one {
        members.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_from_the_description() {
        let found =
            statuses("Text.\n\nStatus: 200; 400 if the id\nis invalid; 401 without a token.");
        let found: Vec<_> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let expected = [
            ("200", "Success."),
            ("400", "If the id is invalid."),
            ("401", "Without a token."),
        ];
        assert_eq!(found, expected);
        assert!(statuses("Text.").is_empty());
    }

    #[test]
    fn a_nullable_text_has_two_types() {
        let texts = schemas::texts();
        let reference = json!({"$ref": "#/components/schemas/NameText"});
        for choices in [
            json!([{"type": "null"}, reference]),
            json!([reference, {"type": "null"}]),
        ] {
            let mut schema = json!({"oneOf": choices, "description": "D"});
            inline_texts(&mut schema, &texts);
            assert_eq!(schema["type"], json!(["string", "null"]));
            assert_eq!(schema["description"], "D");
            assert_eq!(without_null(&schema)["type"], "string");
        }
    }
}
