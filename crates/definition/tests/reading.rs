//! What a file comes to, and where it is refused.

use std::fmt::Write as _;

use slipway_definition::{MAX_BYTES, read};
use slipway_domain::pipeline::{Definition, JobDefinition};
use slipway_domain::spec::{ArtifactsWhen, SourceDate};
use slipway_domain::{ImageBuild, JobSpec, Script, When};

fn good(text: &str) -> Definition {
    read(text).unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

fn refused(text: &str) -> String {
    match read(text) {
        Ok(definition) => panic!("{text} is taken as {definition:?}"),
        Err(fault) => fault.to_string(),
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
        _ => panic!("{} is no image build", job.name),
    }
}

fn script(job: &JobDefinition) -> &Script {
    match &job.spec {
        JobSpec::Script(script) => script,
        _ => panic!("{} is no script", job.name),
    }
}

fn needs(job: &JobDefinition) -> Vec<&str> {
    job.needs.iter().map(|need| need.as_str()).collect()
}

#[test]
fn every_key_becomes_what_the_farm_has_for_it() {
    let read = good(
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
    let base = job(&read, "base");
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
    let app = job(&read, "app");
    assert_eq!(app.label.as_deref(), Some("The app"));
    assert_eq!(image(app).image_args["BASE"].as_str(), "base");
    assert_eq!(image(app).cache_of.as_ref().unwrap().as_str(), "base");
    let test = job(&read, "test");
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
    let plain = job(&read, "plain");
    assert_eq!(script(plain).commands, ["one\ntwo\n"]);
    assert_eq!(
        script(plain).image.as_deref(),
        Some("r.example:5000/acme/tools:1")
    );
    assert_eq!(plain.retry.as_ref().unwrap().max, 3);
}

#[test]
fn a_job_without_needs_waits_for_the_stage_before() {
    let read = good(
        "stages: [build, lint, test]\njobs:\n\
         \x20 a: {image: {}}\n\
         \x20 b: {stage: build, script: [x]}\n\
         \x20 c: {stage: test, script: [x]}\n\
         \x20 d: {stage: test, needs: [], script: [x]}\n\
         \x20 e: {stage: test, needs: [a], script: [x]}\n",
    );
    // Nothing is in the stage lint, so the one before that counts.
    assert_eq!(needs(job(&read, "c")), ["a", "b"]);
    assert_eq!(needs(job(&read, "a")), [""; 0]);
    assert_eq!(needs(job(&read, "d")), [""; 0]);
    assert_eq!(needs(job(&read, "e")), ["a"]);
    assert_eq!(job(&read, "a").stage.as_str(), "build");
}

#[test]
fn a_job_whose_image_is_used_is_needed() {
    let read = good(
        "jobs:\n  base: {image: {}}\n  app: {image: {args_from: {BASE: base}}}\n\
         \x20 t: {run_in: {job: app}, script: [x]}\n",
    );
    assert_eq!(needs(job(&read, "app")), ["base"]);
    assert_eq!(needs(job(&read, "t")), ["app"]);
}

#[test]
fn a_matrix_is_a_job_for_each_combination() {
    let read = good(
        "jobs:\n  app:\n    matrix: {VERSION: ['1', 'node:2'], OS: [alpine, arch]}\n    image: {args: {X: y}}\n\
         \x20 all: {needs: [app], script: [x]}\n\
         \x20 one: {run_in: {job: app-1-arch}, matrix: {V: [true]}, script: [x]}\n",
    );
    let names: Vec<&str> = read.jobs.iter().map(|job| job.name.as_str()).collect();
    let apps = [
        "app-1-alpine",
        "app-1-arch",
        "app-node-2-alpine",
        "app-node-2-arch",
    ];
    assert_eq!(names[..4], apps);
    assert_eq!(names[4..], ["all", "one-true"]);
    let last = job(&read, "app-node-2-arch");
    assert_eq!(image(last).args["VERSION"], "node:2");
    assert_eq!(image(last).args["OS"], "arch");
    assert_eq!(image(last).args["X"], "y");
    assert_eq!(last.label.as_deref(), Some("app (VERSION=node:2, OS=arch)"));
    assert_eq!(needs(job(&read, "all")), apps);
    let one = job(&read, "one-true");
    assert_eq!(needs(one), ["app-1-arch"]);
    assert_eq!(script(one).variables["V"], "true");
}

#[test]
fn json_is_taken_and_so_are_anchors() {
    let json = good("{\n\t\"jobs\": {\n\t\t\"a\": {\"script\": [\"x\"], \"timeout\": 90}\n\t}\n}");
    assert_eq!(job(&json, "a").timeout_s, 90);
    let read = good("jobs:\n  a: {script: &s [one, two]}\n  b: {script: *s}\n");
    assert_eq!(script(job(&read, "b")).commands, ["one", "two"]);
}

/// Each file, and the place and the words of its refusal.
#[test]
fn what_is_wrong_is_told_with_its_place() {
    let table: &[(&str, &str, &str)] = &[
        ("", "1, column 1", "the file is empty"),
        ("# only this\n", "1, column 1", "the file is empty"),
        ("jobs: [\n", "2, column 1", "not YAML"),
        (
            "jobs:\n  a: {image: {}}\n b: {}\n",
            "3, column 2",
            "not YAML",
        ),
        (
            "- a\n",
            "1, column 1",
            "the file must be a mapping, and here is a list",
        ),
        ("stages: [a]\n", "1, column 1", "no `jobs`"),
        ("jobs: {}\n", "1, column 7", "at least one job"),
        (
            "jobs: nothing\n",
            "1, column 7",
            "must be a mapping, and here is a single value",
        ),
        (
            "job:\n  a: {image: {}}\n",
            "1, column 1",
            "no key \"job\"; did you mean \"jobs\"?",
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
            "no key \"<<\"",
        ),
        ("jobs:\n  a: {}\n", "2, column 3", "does nothing"),
        (
            "jobs:\n  a: {image: {}, script: [x]}\n",
            "2, column 26",
            "not both",
        ),
        (
            "jobs:\n  a: {image: {}, variables: {A: b}}\n",
            "2, column 18",
            "`image.args`",
        ),
        (
            "jobs:\n  a: {image: {}, run_in: x}\n",
            "2, column 18",
            "with a `script`",
        ),
        (
            "jobs:\n  a b: {image: {}}\n",
            "2, column 3",
            "name \"a b\" is not valid",
        ),
        (
            "jobs:\n  a: {image: {}}\n  a: {image: {}}\n",
            "3, column 3",
            "\"a\" is used twice in `jobs`",
        ),
        (
            "jobs:\n  a: {image: {tags: [x], tags: [y]}}\n",
            "2, column 26",
            "\"tags\" is used twice",
        ),
        (
            "jobs:\n  base: {image: {}}\n  a: {needs: [bass], image: {}}\n",
            "3, column 15",
            "needs \"bass\", which is not a job of this file; did you mean \"base\"?",
        ),
        (
            "jobs:\n  a: {needs: [a], image: {}}\n",
            "2, column 14",
            "\"a\" needs itself",
        ),
        (
            "jobs:\n  x: {needs: [b], image: {}}\n  b: {needs: [c], image: {}}\n  c:\n    needs: [b]\n    image: {}\n",
            "3, column 14",
            "\"b\" needs itself, directly or through others",
        ),
        (
            "jobs:\n  a: {needs: b, image: {}}\n",
            "2, column 14",
            "`needs` must be a list",
        ),
        (
            "jobs:\n  a: {script: [x], timeout: soon}\n",
            "2, column 29",
            "\"soon\" is none",
        ),
        (
            "jobs:\n  a: {script: [x], timeout: 8 days}\n",
            "2, column 29",
            "1 s to a week",
        ),
        (
            "jobs:\n  a: {script: [x], run_in: 'a b'}\n",
            "2, column 28",
            "names no image",
        ),
        (
            "jobs:\n  a: {script: [x], run_in: {job: b}}\n",
            "2, column 34",
            "not a job",
        ),
        (
            "jobs:\n  b: {script: [x]}\n  a: {script: [x], run_in: {job: b}}\n",
            "3, column 34",
            "makes no image",
        ),
        (
            "jobs:\n  b: {matrix: {V: [1, 2]}, image: {}}\n  a: {script: [x], run_in: {job: b}}\n",
            "3, column 34",
            "a matrix of 2 jobs",
        ),
        (
            "jobs:\n  b: {matrix: {V: ['a/b', 'a:b']}, image: {}}\n",
            "2, column 3",
            "\"b-a-b\" is used twice",
        ),
        (
            "jobs:\n  b-1: {image: {}}\n  b: {matrix: {V: [1]}, image: {}}\n",
            "3, column 3",
            "\"b-1\" is used twice",
        ),
        (
            "jobs:\n  b: {matrix: {V: []}, image: {}}\n",
            "2, column 16",
            "a value for each name",
        ),
        (
            "jobs:\n  b: {matrix: {1V: [1]}, image: {}}\n",
            "2, column 16",
            "matrix name",
        ),
        (
            "jobs:\n  a: {script: []}\n",
            "2, column 15",
            "1 to 1000 commands",
        ),
        (
            "jobs:\n  a: {script: [x, {}]}\n",
            "2, column 19",
            "must be text, and here is a mapping",
        ),
        (
            "jobs:\n  a: {script: [x], allow_failure: yes}\n",
            "2, column 35",
            "true or false",
        ),
        (
            "jobs:\n  a: {script: [x], when: allways}\n",
            "2, column 26",
            "did you mean \"always\"?",
        ),
        (
            "jobs:\n  a: {script: [x], retry: 11}\n",
            "2, column 27",
            "1 to 10 times",
        ),
        (
            "jobs:\n  a: {script: [x], retry: {max: 1, on: [x, runner_lots]}}\n",
            "2, column 41",
            "\"x\" is none of",
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
            "has `paths`",
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
            "stands in `args` too",
        ),
        (
            "stages: [x, x]\njobs:\n  a: {image: {}}\n",
            "1, column 13",
            "there twice",
        ),
        (
            "stages: [build, test]\njobs:\n  a: {stage: tset, image: {}}\n",
            "3, column 14",
            "did you mean \"test\"?",
        ),
        (
            "jobs:\n  a: {script: [!x y]}\n",
            "2, column 16",
            "tags that begin with !",
        ),
        (
            "jobs: {a: {image: {}}}\n---\njobs: {}\n",
            "2, column 1",
            "second document",
        ),
        ("jobs: &a\n  a: *a\n", "2, column 6", "alias"),
        (
            "jobs:\n  ? [a]\n  : {image: {}}\n",
            "2, column 5",
            "a key must be plain text",
        ),
        ("jobs:\n  ä: {image: {}}\n", "2, column 3", "name \"ä\""),
    ];
    for (text, place, words) in table {
        let told = refused(text);
        let expected = format!(".slipway.yml, line {place}: ");
        assert!(told.starts_with(&expected), "{text}\n{told}\n{expected}");
        assert!(told.contains(words), "{text}\n{told}\n{words}");
        assert!(!told.contains('\n'), "{told}");
    }
}

#[test]
fn a_file_of_strangers_is_bounded() {
    let long = format!("jobs: {{a: {{script: ['{}']}}}}", "x".repeat(MAX_BYTES));
    assert!(refused(&long).contains("at most 262144"));
    let deep = format!("jobs: {}{}", "[".repeat(100), "]".repeat(100));
    assert!(refused(&deep).contains("16 deep"));
    let deep_blocks: String = (0..100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(refused(&deep_blocks).contains("16 deep"));
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in b'b'..=b'j' {
        let (name, of) = (char::from(n), char::from(n - 1));
        let list = vec![format!("*{of}"); 10].join(", ");
        writeln!(bomb, "{name}: &{name} [{list}]").unwrap();
    }
    let told = refused(&bomb);
    assert!(
        told.contains("too many values") && told.contains("line 5"),
        "{told}"
    );
    let jobs: String = (0..501).fold("jobs:\n".to_owned(), |mut text, n| {
        writeln!(text, "  j{n}: {{image: {{}}}}").unwrap();
        text
    });
    assert!(refused(&jobs).contains("line 502, column 3: a pipeline has at most 500 jobs"));
    let values = vec!["x"; 30].join(", ");
    let wide = format!("jobs:\n  a: {{script: [x], matrix: {{A: [{values}], B: [{values}]}}}}\n");
    assert!(refused(&wide).contains("this matrix makes more"));
    let dense: String = (0..202).fold("stages: [a, b]\njobs:\n".to_owned(), |mut text, n| {
        let stage = if n < 101 { "a" } else { "b" };
        writeln!(
            text,
            "  j{n}: {{stage: {stage}, matrix: {{M: [1, 2]}}, image: {{}}}}"
        )
        .unwrap();
        text
    });
    assert!(refused(&dense).contains("needs together"));
}

#[test]
fn an_image_has_secrets_platforms_a_date_and_caches() {
    let image = |keys: &str| {
        let read = good(&format!("jobs:\n  app:\n    image: {{{keys}}}\n"));
        match read.jobs.into_iter().next().unwrap().spec {
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
        ("secrets: [no-name]", "variable of a secret"),
        ("ssh: no-name", "variable of a secret"),
        ("platforms: [linux]", "platform"),
        (
            "source_date: yesterday",
            "`source_date` is `commit`, or so many seconds",
        ),
        (
            "source_date: -1",
            "`source_date` is `commit`, or so many seconds",
        ),
        ("cache_from: [A b]", "cache image"),
        ("cache_from: nobody", "nobody"),
        ("cache_to: r.example/a", "place for the cache"),
    ] {
        let text = format!("jobs:\n  app:\n    image: {{{keys}}}\n");
        let fault = read(&text).unwrap_err().to_string();
        assert!(fault.contains(expected), "{keys}: {fault}");
    }
}
