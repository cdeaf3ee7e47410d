//! `slipway login`, and the file in which it stores a login.

use std::os::unix::fs::PermissionsExt;

use tokio::io::AsyncWriteExt;

use crate::fixture::{Fixture, ended, text};

#[tokio::test]
async fn a_login_is_checked_before_it_is_stored() {
    let fixture = Fixture::new().await;
    let url = fixture.farm.url("");
    let output = fixture
        .run(&["login", "--url", &url, "--token", "slpat-wrong"])
        .await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr).lines().count(), 1);
    assert!(!fixture.config().exists());

    let mut child = fixture.command(&["login", "--url", &url]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(format!("{}\n", fixture.farm.admin_token).as_bytes())
        .await
        .unwrap();
    drop(input);
    let output = ended(child).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(!text(&output.stdout).contains(&fixture.farm.admin_token));
    let mode = std::fs::metadata(fixture.config())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_login_never_replaces_another_programs_file() {
    let fixture = Fixture::new().await;
    let url = fixture.farm.url("");
    let folder = fixture.folder.path();
    let runner = folder.join("runner.toml");
    let content = "url = \"http://a\"\ntoken = \"slrun-1\"\nid = 7\ndescription = \"box\"\n";
    std::fs::write(&runner, content).unwrap();
    let login = |variable: &'static str| {
        let mut command = fixture.command(&["login", "--url", &url]);
        command
            .env_remove("SLIPWAY_CLI_CONFIG")
            .env("HOME", folder)
            .env("SLIPWAY_TOKEN", &fixture.farm.admin_token)
            .env(variable, &runner);
        command
    };
    for variable in ["SLIPWAY_CONFIG", "SLIPWAY_CLI_CONFIG"] {
        let output = login(variable).output().await.unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let error = text(&output.stderr);
        assert!(error.contains("configuration of a runner"), "{error}");
        assert!(error.contains("SLIPWAY_CLI_CONFIG"), "{error}");
        assert_eq!(std::fs::read_to_string(&runner).unwrap(), content);
        // Its token is not taken for a login either.
        let mut queue = fixture.command(&["queue"]);
        queue
            .env_remove("SLIPWAY_CLI_CONFIG")
            .env(variable, &runner);
        let output = queue.output().await.unwrap();
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(text(&output.stderr).contains("of a runner"), "{output:?}");
    }
    // The variable of the command line goes before the shared one, which earlier versions read.
    let own = folder.join("own.toml");
    let mut command = login("SLIPWAY_CONFIG");
    let output = command.env("SLIPWAY_CLI_CONFIG", &own).output().await;
    assert_eq!(output.unwrap().status.code(), Some(0));
    assert!(own.exists());
    let mut queue = fixture.command(&["queue"]);
    queue
        .env_remove("SLIPWAY_CLI_CONFIG")
        .env("SLIPWAY_CONFIG", &own);
    assert_eq!(queue.output().await.unwrap().status.code(), Some(0));
}
