//! Secrets of jobs in their traces, whatever their size.

use serde_json::json;

use crate::fake_coordinator::FakeCoordinator;
use crate::job_lifecycle::Runner;

#[tokio::test]
async fn secrets_that_are_too_short_to_be_masked_are_reported_at_the_start_of_the_trace() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    let variables = json!([
        {"key": "PIN", "value": "123", "public": false},
        {"key": "BLANK_LINES", "value": "12\n\n\n", "public": false},
        {"key": "LOGIN", "value": "somebody\nhunter2\n", "public": false},
        {"key": "LONG", "value": "long enough", "public": false},
        {"key": "PUBLIC", "value": "abc", "public": true},
        {"key": "EMPTY", "value": "", "public": false},
        {"key": "SCRIPT_LINES", "value": "1", "public": true},
    ]);
    let login = json!({
        "type": "registry", "url": "r.example", "username": "me", "password": "pw",
    });
    fake.enqueue(
        1,
        &[],
        json!({"variables": variables, "credentials": [login]}),
    );
    let held = fake.until_reported(1).await;
    let trace = String::from_utf8(held.trace).unwrap();
    let short = "shorter than 4 bytes, and is not masked in traces";
    let expected = format!(
        "Warning: PIN is {short}\n\
         Warning: BLANK_LINES is {short}\n\
         Warning: LOGIN is a text with 1 line shorter than 8 bytes, \
         which are not masked in traces unless the whole text is printed\n\
         Warning: the password of me at r.example is {short}\n\
         line 000001\n"
    );
    assert_eq!(trace, expected);
    runner.drain(&fake).await;
}

#[tokio::test]
async fn a_job_with_many_large_secrets_runs_and_sends_heartbeats() {
    let fake = FakeCoordinator::start();
    let runner = Runner::start(&fake);
    let secret = |number: u32| {
        let lines = (0..1024).map(|line| format!("{:064x}", u128::from(number) << 64 | line));
        lines.collect::<Vec<_>>().join("\n")
    };
    let mut variables: Vec<_> = (0..60)
        .map(
            |number| json!({"key": format!("S{number}"), "value": secret(number), "public": false}),
        )
        .collect();
    variables.push(json!({"key": "SCRIPT_LINES", "value": "1000", "public": true}));
    fake.enqueue(1, &[], json!({ "variables": variables }));
    let held = fake.until_reported(1).await;
    assert_eq!(held.status, "success");
    assert!(held.trace.ends_with(b"line 001000\n"));
    assert!(
        held.phases.contains(&"building".to_owned()),
        "{:?}",
        held.phases
    );
    runner.drain(&fake).await;
}
