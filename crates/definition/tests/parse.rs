//! Valid files and the definitions they produce, invalid files and their errors.

use std::fmt::Write as _;

use slipway_definition::{MAX_BYTES, parse};
use slipway_domain::pipeline::{Definition, JobDefinition};
use slipway_domain::spec::{ArtifactsWhen, SourceDate};
use slipway_domain::{ImageBuild, JobSpec, Script, When};

fn parsed(text: &str) -> Definition {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error_of(text: &str) -> String {
    match parse(text) {
        Ok(definition) => panic!("{text} is accepted as {definition:?}"),
        Err(error) => error.to_string(),
    }
}

fn job<'a>(definition: &'a Definition, name: &str) -> &'a JobDefinition {
    let mut jobs = definition.jobs.iter();
    jobs.find(|job| job.name.as_str() == name)
        .unwrap_or_else(|| panic!("no job {name}"))
}

fn image(job: &JobDefinition) -> &ImageBuild {
    match &job.spec {
        JobSpec::ImageBuild(image) => image,
        _ => panic!("{} is not an image build", job.name),
    }
}

fn script(job: &JobDefinition) -> &Script {
    match &job.spec {
        JobSpec::Script(script) => script,
        _ => panic!("{} is not a script", job.name),
    }
}

fn needs(job: &JobDefinition) -> Vec<&str> {
    job.needs.iter().map(|need| need.as_str()).collect()
}

#[test]
fn every_key_sets_its_field_of_the_definition() {
    let definition = parsed(
        r#"
variables: {CI: "1", MODE: all}
jobs:
  base:
    image: {context: base, dockerfile: base/D, target: out, args: {A: b, N: 1.10}, labels: {l: x},
            tags: [v1], repository: r.example/a/b, no_cache: true, pull: true,
            platforms: [linux/amd64, linux/aarch64]}
  app:
    label: The app
    needs: [base]
    image: {args_from: {BASE: base}, cache_from: base}
  test:
    needs: [app]
    script: [make test]
    run_in: {job: app}
    variables: {MODE: one}
    artifacts: {paths: [out/], name: results, when: always, expire_in: 7 days}
    tags: [linux, big]
    timeout: 10m
    retry: {max: 2, on: [runner_fault]}
    when: on_failure
    allow_failure: true
  plain:
    run_in: r.example:5000/acme/tools:1
    script: |
      one
      two
    retry: 3
"#,
    );
    let base = job(&definition, "base");
    assert_eq!(image(base).context, "base");
    assert_eq!(image(base).dockerfile, "base/D");
    assert_eq!(image(base).target.as_deref(), Some("out"));
    assert_eq!(image(base).args["A"], "b");
    assert_eq!(image(base).args["N"], "1.10");
    assert_eq!(image(base).labels["l"], "x");
    assert_eq!(image(base).tags, ["v1"]);
    assert!(image(base).no_cache && image(base).pull);
    let platforms: Vec<String> = image(base)
        .platforms
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    let repository = image(base).repository.as_ref();
    assert_eq!(repository.map(|r| r.as_str()), Some("r.example/a/b"));
    assert_eq!(base.timeout_s, 3600);
    assert_eq!(base.stage.as_str(), "build");
    let app = job(&definition, "app");
    assert_eq!(app.label.as_deref(), Some("The app"));
    assert_eq!(image(app).image_args["BASE"].as_str(), "base");
    assert_eq!(image(app).cache_of.as_ref().unwrap().as_str(), "base");
    let test = job(&definition, "test");
    assert_eq!(script(test).commands, ["make test"]);
    assert_eq!(script(test).image_of.as_ref().unwrap().as_str(), "app");
    assert_eq!(script(test).variables["CI"], "1");
    assert_eq!(script(test).variables["MODE"], "one");
    let kept = script(test).artifacts.as_ref().unwrap();
    assert_eq!(kept.paths, ["out/"]);
    assert_eq!(kept.name.as_deref(), Some("results"));
    assert_eq!(kept.when, ArtifactsWhen::Always);
    assert_eq!(kept.expire_in.as_deref(), Some("7 days"));
    assert_eq!(test.tags.to_list(), "big,linux");
    assert_eq!(test.timeout_s, 600);
    let retry = test.retry.as_ref().unwrap();
    assert_eq!(
        (retry.max, retry.on.as_slice()),
        (2, &["runner_fault".to_owned()][..])
    );
    assert_eq!(test.when, When::OnFailure);
    assert!(test.allow_failure);
    let plain = job(&definition, "plain");
    assert_eq!(script(plain).commands, ["one\ntwo\n"]);
    assert_eq!(
        script(plain).image.as_deref(),
        Some("r.example:5000/acme/tools:1")
    );
    assert_eq!(plain.retry.as_ref().unwrap().max, 3);
}

#[test]
fn json_as_encoders_write_it_is_read() {
    for (text, expected) in [
        (
            r#"{"jobs": {"a": {"script": ["echo \ud83d\udc33"]}}}"#,
            "echo \u{1f433}",
        ),
        (
            r#"{"jobs":{"a":{"script":["\ud83d\udc33\u00e9\/\"\\ud83d","\uD834\uDD1E"]}}}"#,
            "\u{1f433}\u{e9}/\"\\ud83d",
        ),
        (
            "jobs:\n  a:\n    script: [\"\\ud83d\\udc33\", \"\\ud83d\\udc33\"]\n",
            "\u{1f433}",
        ),
        // Only double quotes give escapes a meaning.
        (
            "jobs:\n  a:\n    script:\n      - echo \"\\ud83d\\udc33\"\n      - \"\\ud83d\\udc33\"\n",
            "echo \"\\ud83d\\udc33\"",
        ),
        (
            "variables: {X: \"\\ud83d\\udc33\"}\njobs:\n  a:\n    variables: {Y: \"\\ud83d\\udc33\"}\n    script: |-\n      x \"\\ud83d\\udc33\"\n",
            "x \"\\ud83d\\udc33\"",
        ),
    ] {
        let definition = parsed(text);
        assert_eq!(
            script(job(&definition, "a")).commands[0],
            expected,
            "{text}"
        );
    }
}

#[test]
fn errors_after_surrogate_pairs_have_the_position_in_the_file() {
    let json = r#"{"jobs": {"a": {"script": ["\ud83d\udc33"], "oops": 1}}}"#;
    let column = json.find("\"oops").unwrap() + 1;
    let error = error_of(json);
    assert!(
        error.contains(&format!("line 1, column {column}:")),
        "{error}"
    );
    let half = r#"{"jobs": {"a": {"script": ["\ud83d\udc33", "\ud83d"]}}}"#;
    let column = half.find("\"\\ud83d\"").unwrap() + 1;
    let error = error_of(half);
    assert!(
        error.contains(&format!("line 1, column {column}:")),
        "{error}"
    );
}

#[test]
fn artifacts_that_never_expire_are_accepted_as_in_gitlab() {
    for expiry in ["never", "Never", "0", "\"0\"", "0 days"] {
        let text =
            format!("jobs: {{a: {{script: [x], artifacts: {{paths: [a], expire_in: {expiry}}}}}}}");
        let definition = parsed(&text);
        let kept = script(job(&definition, "a")).artifacts.as_ref().unwrap();
        assert_eq!(kept.expire_in.as_deref(), Some(expiry.trim_matches('"')));
    }
}

#[test]
fn a_job_without_needs_needs_the_previous_stage() {
    let definition = parsed(
        "stages: [build, lint, test]\njobs:\n\
         \x20 a: {image: {}}\n\
         \x20 b: {stage: build, script: [x]}\n\
         \x20 c: {stage: test, script: [x]}\n\
         \x20 d: {stage: test, needs: [], script: [x]}\n\
         \x20 e: {stage: test, needs: [a], script: [x]}\n",
    );
    // The stage lint is empty, so the stage before it counts.
    assert_eq!(needs(job(&definition, "c")), ["a", "b"]);
    assert_eq!(needs(job(&definition, "a")), [""; 0]);
    assert_eq!(needs(job(&definition, "d")), [""; 0]);
    assert_eq!(needs(job(&definition, "e")), ["a"]);
    assert_eq!(job(&definition, "a").stage.as_str(), "build");
}

#[test]
fn using_the_image_of_a_job_adds_it_to_the_needs() {
    let definition = parsed(
        "jobs:\n  base: {image: {}}\n  app: {image: {args_from: {BASE: base}}}\n\
         \x20 t: {run_in: {job: app}, script: [x]}\n",
    );
    assert_eq!(needs(job(&definition, "app")), ["base"]);
    assert_eq!(needs(job(&definition, "t")), ["app"]);
}

#[test]
fn a_matrix_creates_a_job_for_each_combination() {
    let definition = parsed(
        "jobs:\n  app:\n    matrix: {VERSION: ['1', 'node:2'], OS: [alpine, arch]}\n    image: {args: {X: y}}\n\
         \x20 all: {needs: [app], script: [x]}\n\
         \x20 one: {run_in: {job: app-1-arch}, matrix: {V: [true]}, script: [x]}\n",
    );
    let names: Vec<&str> = definition
        .jobs
        .iter()
        .map(|job| job.name.as_str())
        .collect();
    let apps = [
        "app-1-alpine",
        "app-1-arch",
        "app-node-2-alpine",
        "app-node-2-arch",
    ];
    assert_eq!(names[..4], apps);
    assert_eq!(names[4..], ["all", "one-true"]);
    let last = job(&definition, "app-node-2-arch");
    assert_eq!(image(last).args["VERSION"], "node:2");
    assert_eq!(image(last).args["OS"], "arch");
    assert_eq!(image(last).args["X"], "y");
    assert_eq!(last.label.as_deref(), Some("app (VERSION=node:2, OS=arch)"));
    assert_eq!(needs(job(&definition, "all")), apps);
    let one = job(&definition, "one-true");
    assert_eq!(needs(one), ["app-1-arch"]);
    assert_eq!(script(one).variables["V"], "true");
}

#[test]
fn json_and_anchors_are_supported() {
    let json =
        parsed("{\n\t\"jobs\": {\n\t\t\"a\": {\"script\": [\"x\"], \"timeout\": 90}\n\t}\n}");
    assert_eq!(job(&json, "a").timeout_s, 90);
    let definition = parsed("jobs:\n  a: {script: &s [one, two]}\n  b: {script: *s}\n");
    assert_eq!(script(job(&definition, "b")).commands, ["one", "two"]);
}

/// Each row has a file, the position of its error, and words of the message.
#[test]
fn errors_have_a_position_and_name_the_problem() {
    let table: &[(&str, &str, &str)] = &[
        ("", "1, column 1", "the file is empty"),
        ("# only this\n", "1, column 1", "the file is empty"),
        ("jobs: [\n", "2, column 1", "invalid YAML"),
        (
            "jobs:\n  a: {image: {}}\n b: {}\n",
            "3, column 2",
            "invalid YAML",
        ),
        (
            "- a\n",
            "1, column 1",
            "the file must be a mapping, but is a list",
        ),
        ("stages: [a]\n", "1, column 1", "the file has no `jobs`"),
        ("jobs: {}\n", "1, column 7", "at least one job"),
        (
            "jobs: nothing\n",
            "1, column 7",
            "`jobs` must be a mapping, but is a single value",
        ),
        (
            "job:\n  a: {image: {}}\n",
            "1, column 1",
            "unknown key \"job\" in the file; did you mean \"jobs\"?",
        ),
        (
            "jobs:\n  a:\n    skript: [x]\n",
            "3, column 5",
            "did you mean \"script\"?",
        ),
        (
            "jobs:\n  a:\n    image: {contxt: x}\n",
            "3, column 13",
            "did you mean \"context\"?",
        ),
        (
            "jobs:\n  a: {script: [x], <<: {}}\n",
            "2, column 20",
            "unknown key \"<<\" in a job; allowed keys: allow_failure, ",
        ),
        (
            "jobs:\n  a: {}\n",
            "2, column 3",
            "a job requires `image` (to build an image) or `script`",
        ),
        (
            "jobs:\n  a: {image: {}, script: [x]}\n",
            "2, column 26",
            "cannot have both `image` and `script`",
        ),
        (
            "jobs:\n  a: {image: {}, variables: {A: b}}\n",
            "2, column 18",
            "`image.args`",
        ),
        (
            "jobs:\n  a: {image: {}, run_in: x}\n",
            "2, column 18",
            "`run_in` requires a job with `script`",
        ),
        (
            "jobs:\n  a b: {image: {}}\n",
            "2, column 3",
            "name \"a b\" is not valid",
        ),
        (
            "jobs:\n  a: {image: {}}\n  a: {image: {}}\n",
            "3, column 3",
            "duplicate key \"a\" in `jobs`; it is already defined in line 2",
        ),
        (
            "jobs:\n  a: {image: {tags: [x], tags: [y]}}\n",
            "2, column 26",
            "duplicate key \"tags\"",
        ),
        (
            "jobs:\n  base: {image: {}}\n  a: {needs: [bass], image: {}}\n",
            "3, column 15",
            "job \"a\" needs job \"bass\", which is not defined in this file; did you mean \"base\"?",
        ),
        (
            "jobs:\n  a: {needs: [a], image: {}}\n",
            "2, column 14",
            "\"a\" needs itself",
        ),
        (
            "jobs:\n  x: {needs: [b], image: {}}\n  b: {needs: [c], image: {}}\n  c:\n    needs: [b]\n    image: {}\n",
            "3, column 14",
            "job \"b\" needs itself, directly or through other jobs",
        ),
        (
            "jobs:\n  a: {needs: b, image: {}}\n",
            "2, column 14",
            "`needs` must be a list",
        ),
        (
            "jobs:\n  a: {script: [x], timeout: soon}\n",
            "2, column 29",
            "invalid timeout \"soon\"",
        ),
        (
            "jobs:\n  a: {script: [x], timeout: 8 days}\n",
            "2, column 29",
            "1 s to a week",
        ),
        (
            "jobs:\n  a: {script: [x], run_in: 'a b'}\n",
            "2, column 28",
            "invalid image \"a b\"",
        ),
        (
            "jobs:\n  a: {script: [x], run_in: {job: b}}\n",
            "2, column 34",
            "not defined in this file",
        ),
        (
            "jobs:\n  b: {script: [x]}\n  a: {script: [x], run_in: {job: b}}\n",
            "3, column 34",
            "does not build an image",
        ),
        (
            "jobs:\n  b: {matrix: {V: [1, 2]}, image: {}}\n  a: {script: [x], run_in: {job: b}}\n",
            "3, column 34",
            "a matrix of 2 jobs",
        ),
        (
            "jobs:\n  b: {matrix: {V: ['a/b', 'a:b']}, image: {}}\n",
            "2, column 3",
            "two combinations of the matrix have the job name \"b-a-b\"",
        ),
        (
            "jobs:\n  b-1: {image: {}}\n  b: {matrix: {V: [1]}, image: {}}\n",
            "3, column 3",
            "duplicate job name \"b-1\"; the job in line 2 already has this name",
        ),
        (
            "jobs:\n  b: {matrix: {V: []}, image: {}}\n",
            "2, column 16",
            "`matrix.V` is empty",
        ),
        (
            "jobs:\n  b: {matrix: {1V: [1]}, image: {}}\n",
            "2, column 16",
            "invalid matrix name \"1V\"",
        ),
        (
            "jobs:\n  a: {script: []}\n",
            "2, column 15",
            "1 to 1000 commands",
        ),
        (
            "jobs:\n  a: {script: [x, {}]}\n",
            "2, column 19",
            "each item of `script` must be text, but is a mapping",
        ),
        (
            "jobs:\n  a: {script: [x], allow_failure: yes}\n",
            "2, column 35",
            "`allow_failure` must be true or false",
        ),
        (
            "jobs:\n  a: {script: [x], when: allways}\n",
            "2, column 26",
            "invalid value \"allways\" for `when`; allowed values: on_success, on_failure, always, manual; did you mean \"always\"?",
        ),
        (
            "jobs:\n  a: {script: [x], retry: 11}\n",
            "2, column 27",
            "invalid number of retries \"11\"; expected 1 to 10",
        ),
        (
            "jobs:\n  a: {script: [x], retry: {max: 1, on: [x, runner_lots]}}\n",
            "2, column 41",
            "invalid value \"x\" for `retry.on`; allowed values: job_failed, ",
        ),
        (
            "jobs:\n  a: {script: [x], tags: ['a,b']}\n",
            "2, column 27",
            "tag",
        ),
        (
            "jobs:\n  a: {script: [x], variables: {1A: b}}\n",
            "2, column 32",
            "variable name",
        ),
        (
            "jobs:\n  a: {script: [x], artifacts: {paths: [a, ../b]}}\n",
            "2, column 43",
            "artifact path",
        ),
        (
            "jobs:\n  a: {script: [x], artifacts: {paths: [a], expire_in: soon}}\n",
            "2, column 55",
            "expire_in",
        ),
        (
            "jobs:\n  a: {script: [x], artifacts: {}}\n",
            "2, column 31",
            "`artifacts` requires `paths`",
        ),
        (
            "jobs:\n  a: {image: {context: ../x}}\n",
            "2, column 24",
            "context",
        ),
        (
            "jobs:\n  a: {image: {tags: [x, -y]}}\n",
            "2, column 25",
            "image tag",
        ),
        (
            "jobs:\n  a: {image: {repository: acme/api}}\n",
            "2, column 27",
            "image repository",
        ),
        (
            "jobs:\n  a: {image: {args: {A: b}, args_from: {A: b}}}\n",
            "2, column 41",
            "build argument \"A\" is set in both `args` and `args_from`",
        ),
        (
            "stages: [x, x]\njobs:\n  a: {image: {}}\n",
            "1, column 13",
            "duplicate stage \"x\"",
        ),
        (
            "stages: [build, test]\njobs:\n  a: {stage: tset, image: {}}\n",
            "3, column 14",
            "stage \"tset\" is not listed in `stages`; did you mean \"test\"?",
        ),
        (
            "jobs:\n  a: {script: [!x y]}\n",
            "2, column 16",
            "YAML tags such as `!x`",
        ),
        (
            "jobs: {a: {image: {}}}\n---\njobs: {}\n",
            "2, column 1",
            "second YAML document",
        ),
        (
            "jobs: &a\n  a: *a\n",
            "2, column 6",
            "this alias refers to a value that contains it",
        ),
        (
            "jobs:\n  ? [a]\n  : {image: {}}\n",
            "2, column 5",
            "a key must be plain text",
        ),
        ("jobs:\n  ä: {image: {}}\n", "2, column 3", "name \"ä\""),
    ];
    for (text, position, words) in table {
        let error = error_of(text);
        let expected = format!(".slipway.yml, line {position}: ");
        assert!(error.starts_with(&expected), "{text}\n{error}\n{expected}");
        assert!(error.contains(words), "{text}\n{error}\n{words}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn the_size_of_an_untrusted_file_is_bounded() {
    let long = format!("jobs: {{a: {{script: ['{}']}}}}", "x".repeat(MAX_BYTES));
    assert!(error_of(&long).contains("at most 262144"));
    let deep = format!("jobs: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(error_of(&deep).contains("at most 16 levels"));
    let deep_blocks: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(error_of(&deep_blocks).contains("at most 16 levels"));
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in b'b'..=b'j' {
        let (name, of) = (char::from(n), char::from(n - 1));
        let list = vec![format!("*{of}"); 10].join(", ");
        writeln!(bomb, "{name}: &{name} [{list}]").unwrap();
    }
    let error = error_of(&bomb);
    assert!(
        error.contains("too many values") && error.contains("line 5"),
        "{error}"
    );
    let jobs: String = (0..501).fold("jobs:\n".to_owned(), |mut text, n| {
        writeln!(text, "  j{n}: {{image: {{}}}}").unwrap();
        text
    });
    assert!(
        error_of(&jobs)
            .contains("line 502, column 3: too many jobs; a pipeline can have at most 500")
    );
    let values = vec!["x"; 30].join(", ");
    let wide = format!("jobs:\n  a: {{script: [x], matrix: {{A: [{values}], B: [{values}]}}}}\n");
    assert!(error_of(&wide).contains("this matrix creates more"));
    let dense: String = (0..202).fold("stages: [a, b]\njobs:\n".to_owned(), |mut text, n| {
        let stage = if n < 101 { "a" } else { "b" };
        writeln!(
            text,
            "  j{n}: {{stage: {stage}, matrix: {{M: [1, 2]}}, image: {{}}}}"
        )
        .unwrap();
        text
    });
    assert!(error_of(&dense).contains("more than 20000 needs in total"));
}

#[test]
fn secrets_platforms_source_date_and_caches_of_an_image_are_read() {
    let image = |keys: &str| {
        let definition = parsed(&format!("jobs:\n  app:\n    image: {{{keys}}}\n"));
        match definition.jobs.into_iter().next().unwrap().spec {
            JobSpec::ImageBuild(build) => build,
            other => panic!("{other:?}"),
        }
    };
    let build = image(
        "secrets: {npm: NPM_TOKEN}, ssh: KEY, platforms: [linux/aarch64], source_date: commit",
    );
    assert_eq!(
        build.secrets,
        [("npm".to_owned(), "NPM_TOKEN".to_owned())].into()
    );
    assert_eq!(build.ssh.as_deref(), Some("KEY"));
    assert_eq!(build.platforms[0].to_string(), "linux/arm64");
    assert_eq!(build.source_date, Some(SourceDate::Commit));
    let build = image(
        "secrets: [TOKEN], source_date: 12, cache_from: [r.example/a:c], cache_to: r.example/a:c",
    );
    assert_eq!(
        build.secrets,
        [("TOKEN".to_owned(), "TOKEN".to_owned())].into()
    );
    assert_eq!(build.source_date, Some(SourceDate::Seconds(12)));
    assert_eq!(build.cache_images, ["r.example/a:c"]);
    assert_eq!(build.cache_to.as_deref(), Some("r.example/a:c"));
    for (keys, expected) in [
        ("secrets: {n/m: A}", "secret id"),
        (
            "secrets: [no-name]",
            "secret variable \"no-name\" is not valid",
        ),
        ("ssh: no-name", "secret variable \"no-name\" is not valid"),
        ("platforms: [linux]", "platform"),
        ("source_date: yesterday", "invalid `source_date`"),
        ("source_date: -1", "invalid `source_date`"),
        ("cache_from: [A b]", "cache image"),
        ("cache_from: nobody", "nobody"),
        ("cache_to: r.example/a", "cache destination"),
    ] {
        let text = format!("jobs:\n  app:\n    image: {{{keys}}}\n");
        let error = error_of(&text);
        assert!(error.contains(expected), "{keys}: {error}");
    }
}
