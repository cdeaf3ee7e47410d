//! The help of each program names every environment variable that the program reads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use slipway_testkit::processes::program;

/// The calls that read a variable, up to its name.
const READS: [&str; 5] = [
    "env::var(",
    "env::var_os(",
    "env = ",
    "non_empty(",
    "credential(",
];
/// Variables of tests, of the compilation, and of jobs.
const OTHERS: [&str; 3] = [
    "SLIPWAY_TEST_",
    "SLIPWAY_REVISION",
    "SLIPWAY_REGISTRY_PASSWORD_",
];

#[test]
fn help_of_the_coordinator_names_its_variables() {
    check(
        "slipway-coordinator",
        "coordinator",
        &["SLIPWAY_LOG", "SLIPWAY_DATA_DIR"],
    );
}

#[test]
fn help_of_the_runner_names_its_variables() {
    let expected = [
        "SLIPWAY_LOG",
        "SLIPWAY_URL",
        "DOCKER_HOST",
        "SLIPWAY_RUNNER_CONFIG",
    ];
    check("slipway-runner", "runner", &expected);
}

#[test]
fn help_of_the_command_line_names_its_variables() {
    let expected = ["SLIPWAY_URL", "SLIPWAY_TOKEN", "SLIPWAY_CLI_CONFIG"];
    check("slipway", "crates/cli", &expected);
    // Not only somewhere: a person looks at the first page.
    let first = help("slipway", &[]);
    for name in expected {
        assert!(first.contains(name), "{first}");
    }
}

fn check(name: &str, folder: &str, expected: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut read = BTreeMap::new();
    for package in packages(root, folder) {
        for file in sources(&root.join(package).join("src")) {
            let text = std::fs::read_to_string(&file).unwrap();
            for variable in variables(&text) {
                read.insert(variable, file.clone());
            }
        }
    }
    for variable in expected {
        assert!(
            read.contains_key(*variable),
            "{variable} was not found in {read:?}"
        );
    }
    let pages = all_help(name, &[]);
    let pages = pages.join("\n");
    let words: BTreeSet<&str> = pages
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    for (variable, file) in read {
        // The proxies are also read in lower case.
        let is_named =
            words.contains(variable.as_str()) || words.contains(variable.to_uppercase().as_str());
        assert!(
            is_named,
            "`{name} --help` does not name {variable} ({file:?})"
        );
    }
}

/// The help of a command, and of all its subcommands.
fn all_help(name: &str, path: &[String]) -> Vec<String> {
    let own = help(name, path);
    let listed = own.split("Commands:\n").nth(1).unwrap_or_default();
    let listed = listed.lines().take_while(|line| line.starts_with("  "));
    let names = listed
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help");
    let below: Vec<String> = names
        .flat_map(|command| all_help(name, &[path, &[command.to_owned()]].concat()))
        .collect();
    [vec![own], below].concat()
}

fn help(name: &str, path: &[String]) -> String {
    let output = Command::new(program(name))
        .args(path)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{name} {path:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The folders of a package and of all packages of this workspace that it uses.
fn packages(root: &Path, folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let manifest = std::fs::read_to_string(root.join(&folder).join("Cargo.toml")).unwrap();
        if !found.insert(folder) {
            continue;
        }
        let uses = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let uses = uses.split("\n[").next().unwrap_or_default();
        let own = uses
            .lines()
            .filter_map(|line| line.strip_prefix("slipway-"));
        left.extend(own.filter_map(|line| Some(format!("crates/{}", line.split_once('.')?.0))));
    }
    found
}

/// The source files in a folder, without those of tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files
}

/// The variables that a source file reads: each name that a call contains, also through a constant,
/// and each text that looks like a variable of ours.
fn variables(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = BTreeSet::new();
    for read in READS {
        for rest in code.split(read).skip(1) {
            let literal = rest
                .strip_prefix('"')
                .and_then(|rest| rest.split('"').next());
            let constant = || {
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_uppercase() || *c == '_')
                    .collect();
                let (_, value) = code.split_once(&format!("const {name}: &str = \""))?;
                value.split('"').next()
            };
            let name = literal.or_else(constant).filter(|name| is_variable(name));
            found.extend(name.map(str::to_owned));
        }
    }
    // The list of variables that git inherits.
    if let Some((_, list)) = code.split_once("const INHERITED: &[&str] = &[") {
        let list = list.split(']').next().unwrap();
        found.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    let ours = code.split('"').skip(1).step_by(2).filter(|text| {
        text.starts_with("SLIPWAY_") && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
    });
    found.extend(ours.map(str::to_owned));
    found.retain(|name| {
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name && !name.is_empty() && !OTHERS.iter().any(|other| name.starts_with(other))
    });
    found
}

/// Whether a name is that of a variable. Parameters of requests, which are read by calls of the same
/// names, are in lower case.
fn is_variable(name: &str) -> bool {
    name.ends_with("_proxy") || !name.contains(|c: char| c.is_ascii_lowercase())
}
