//! The matrix of routes and credentials, read from `matrix.txt`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::root;

/// Where routes are added.
const ROUTE_FOLDERS: [&str; 6] = [
    "coordinator/src",
    "crates/api-conveyor/src",
    "crates/api-gitlab/src",
    "crates/api-harmont/src",
    "crates/api-native/src",
    "crates/api-quay/src",
];
/// What adds a route or a handler to one.
const ADDS_ROUTE: [&str; 7] = [
    ".route(",
    ".to(",
    "#[get(",
    "#[post(",
    "#[put(",
    "#[patch(",
    "#[delete(",
];

/// A request, and the credentials that are not refused.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) method: &'static str,
    /// The path, with placeholders in braces.
    pub(super) path: &'static str,
    pub(super) allowed: Vec<&'static str>,
    /// The JSON that is sent, with placeholders.
    pub(super) body: Option<&'static str>,
}

/// The whole matrix.
#[derive(Debug)]
pub(super) struct Matrix {
    pub(super) rows: Vec<Row>,
    /// Every kind of credential.
    pub(super) kinds: Vec<&'static str>,
    files: BTreeMap<&'static str, usize>,
}

impl Matrix {
    /// # Errors
    /// If a line is invalid; it is named.
    pub(super) fn read() -> Result<Self> {
        Self::parse(include_str!("matrix.txt"))
    }

    fn parse(text: &'static str) -> Result<Self> {
        let mut groups: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
        let mut matrix = Self {
            rows: Vec::new(),
            kinds: Vec::new(),
            files: BTreeMap::new(),
        };
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            let mut word = || words.next().unwrap_or_default();
            match word() {
                "" | "#" => {}
                "group" => {
                    let (name, first) = (word(), word());
                    let kinds = std::iter::once(first).chain(word().split(' '));
                    groups.insert(name, kinds.filter(|kind| !kind.is_empty()).collect());
                }
                "file" => {
                    let (path, number) = (word(), word());
                    matrix.files.insert(path, number.parse().context(line)?);
                }
                method => {
                    let (path, group, body) = (word(), word(), word());
                    let allowed = groups.get(group);
                    matrix.rows.push(Row {
                        method,
                        path,
                        allowed: allowed.with_context(|| line.to_owned())?.clone(),
                        body: Some(body).filter(|body| !body.is_empty()),
                    });
                }
            }
        }
        matrix.kinds = groups.remove("everyone").unwrap_or_default();
        Ok(matrix)
    }

    /// Checks that every route is in the matrix.
    ///
    /// # Errors
    /// If an OpenAPI document has an operation that is missing here, or a source file adds more or
    /// fewer routes than it did when its rows were written.
    pub(super) fn check_complete(&self, documents: &[Value]) -> Result<()> {
        let shape = |path: &str| {
            let path = path.split('?').next().unwrap_or_default();
            let parts: Vec<&str> = path
                .split('/')
                .map(|part| if is_variable(part) { "*" } else { part })
                .collect();
            parts.join("/")
        };
        let mut missing = Vec::new();
        for document in documents {
            let paths = document["paths"].as_object().context("no paths")?;
            for (path, item) in paths {
                for method in item.as_object().into_iter().flat_map(|item| item.keys()) {
                    let method = method.to_uppercase();
                    let is_known = self
                        .rows
                        .iter()
                        .any(|row| row.method == method && shape(row.path) == shape(path));
                    let is_operation = METHODS.contains(&method.as_str());
                    if is_operation && !is_known {
                        missing.push(format!("{method} {path}"));
                    }
                }
            }
        }
        for (path, number) in routes_in_sources()? {
            let known = self.files.get(path.as_str()).copied().unwrap_or_default();
            if known != number {
                missing.push(format!(
                    "{path} adds {number} routes and handlers, and matrix.txt was written for {known}"
                ));
            }
        }
        if !missing.is_empty() {
            bail!("routes are missing in matrix.txt: {missing:#?}");
        }
        Ok(())
    }
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Whether a segment of a path is a placeholder, or stands for one in the matrix.
fn is_variable(part: &str) -> bool {
    part.starts_with('{') || ["KEY", "registry.example", "robot"].contains(&part)
}

/// How often each source file adds a route, without its tests.
fn routes_in_sources() -> Result<BTreeMap<String, usize>> {
    let mut numbers = BTreeMap::new();
    for folder in ROUTE_FOLDERS {
        count_in(&root().join(folder), &mut numbers)?;
    }
    Ok(numbers)
}

fn count_in(folder: &Path, numbers: &mut BTreeMap<String, usize>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            count_in(&path, numbers)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let number = ADDS_ROUTE.iter().map(|text| code.matches(text).count());
            let number: usize = number.sum();
            if number > 0 {
                let name = path.strip_prefix(root())?.display().to_string();
                numbers.insert(name, number);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn matrix_is_read_and_has_the_routes_of_every_source_file() {
        let matrix = Matrix::read().unwrap();
        assert!(matrix.rows.len() > 250, "{}", matrix.rows.len());
        matrix.check_complete(&[]).unwrap();
    }

    #[test]
    fn operation_that_is_missing_is_named() {
        let matrix = Matrix::read().unwrap();
        let paths = json!({"paths": {"/v1/jobs/{id}": {"get": {}, "put": {}, "parameters": []}}});
        let error = matrix.check_complete(&[paths]).unwrap_err().to_string();
        assert!(error.contains("PUT /v1/jobs/{id}"), "{error}");
        assert!(!error.contains("GET"), "{error}");
    }
}
