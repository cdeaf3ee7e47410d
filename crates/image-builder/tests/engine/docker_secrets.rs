//! Secrets and SSH keys: steps have them, and nothing else does.

use std::path::Path;
use std::process::{Command, Stdio};

use slipway_domain::{FailureReason, ImageBuild};
use slipway_image_builder::{Backend, BuildError, BuildRequest, Variables};
use slipway_test_engine::SHELL;
use tokio_util::sync::CancellationToken;

use crate::docker::{Told, builder, checkout, registry, request, run, unique};

fn with_secret(spec: ImageBuild) -> ImageBuild {
    ImageBuild {
        secrets: [("npm".to_owned(), "NPM_TOKEN".to_owned())].into(),
        ..spec
    }
}

fn given(checkout: &Path, spec: ImageBuild, name: &str, value: &str) -> BuildRequest {
    BuildRequest {
        variables: Variables::from_iter([(name.to_owned(), value.to_owned())]),
        ..request(checkout, spec)
    }
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[tokio::test]
async fn a_secret_is_for_the_step_alone_and_not_in_the_image() {
    let secret = unique();
    let dir = checkout(&format!(
        "{SHELL}RUN --mount=type=secret,id=npm cat /run/secrets/npm; echo; echo left > /left; : {}\n\
         RUN --mount=type=secret,id=other,target=/x [ ! -e /x ] && [ ! -e /run/secrets/npm ]\n",
        unique()
    ));
    let repository = format!("{}/test/{}", registry(), unique());
    let spec = with_secret(ImageBuild {
        repository: Some(repository.parse().unwrap()),
        tags: vec!["1".to_owned()],
        ..ImageBuild::default()
    });
    let request = given(dir.path(), spec, "NPM_TOKEN", &secret);
    assert!(!format!("{request:?}").contains(&secret));
    let builder = builder(Backend::BuildKit).await;
    let told = Told::default();
    run(&builder, &request, &told).await.unwrap();
    // Those who write the trace mask it.
    assert!(told.text().contains(&secret), "{}", told.text());

    let name = format!("{repository}:1");
    output(Command::new("docker").args(["pull", "-q", &name]));
    let history = output(Command::new("docker").args(["history", "--no-trunc", &name]));
    let layers = output(Command::new("docker").args(["save", &name]));
    output(Command::new("docker").args(["rmi", &name]));
    assert!(holds(&history, "--mount=type=secret") || holds(&history, "left > /left"));
    assert!(!holds(&history, &secret));
    assert!(holds(&layers, "left\n"));
    assert!(!holds(&layers, &secret));
}

#[tokio::test]
async fn a_secret_is_in_no_command_line_and_in_no_file_of_ours() {
    let (secret, nap) = (
        unique(),
        format!("4{:07}", rand::random::<u128>() % 10_000_000),
    );
    let dir = checkout(&format!(
        "{SHELL}RUN --mount=type=secret,id=npm test -s /run/secrets/npm && echo napping && exec sleep {nap}\n"
    ));
    let scratch = tempfile::tempdir().unwrap();
    let request = BuildRequest {
        scratch: scratch.path().to_owned(),
        ..given(
            dir.path(),
            with_secret(ImageBuild::default()),
            "NPM_TOKEN",
            &secret,
        )
    };
    let builder = builder(Backend::BuildKit).await;
    let (told, cancel) = (Told::default(), CancellationToken::new());
    let (built, ()) = tokio::join!(builder.build(&request, &told, &cancel), async {
        told.wait_for("napping\n").await;
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            for file in ["cmdline", "environ"] {
                let text = std::fs::read(process.path().join(file)).unwrap_or_default();
                assert!(!holds(&text, &secret), "{process:?}");
            }
        }
        let dirs = [dir.path(), scratch.path()];
        let found = output(Command::new("find").args(dirs).args(["-type", "f"]));
        for file in String::from_utf8_lossy(&found).lines() {
            assert!(!holds(&std::fs::read(file).unwrap(), &secret), "{file}");
        }
        cancel.cancel();
    });
    assert!(matches!(built, Err(BuildError::Canceled)), "{built:?}");
}

#[tokio::test]
async fn a_secret_without_a_variable_is_told_before_anything_is_built() {
    let dir = checkout(SHELL);
    let builder = builder(Backend::BuildKit).await;
    let told = Told::default();
    let request = given(dir.path(), with_secret(ImageBuild::default()), "OTHER", "x");
    let error = run(&builder, &request, &told).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SecretMissing);
    assert_eq!(
        error.to_string(),
        "the secret npm is to be the variable NPM_TOKEN, which the project does not have"
    );
    assert_eq!(told.text(), "");
}

#[tokio::test]
async fn a_step_that_wants_what_is_not_given_is_named_with_it() {
    for (mount, wanted) in [
        ("type=secret,id=x.y,required", "the secret x.y"),
        ("type=secret,id=x.y,required=true", "the secret x.y"),
        ("type=ssh,required", "an SSH agent"),
    ] {
        let dir = checkout(&format!("{SHELL}RUN --mount={mount} echo {}\n", unique()));
        let builder = builder(Backend::BuildKit).await;
        let told = Told::default();
        let spec = with_secret(ImageBuild::default());
        let request = given(dir.path(), spec, "NPM_TOKEN", "value");
        let error = run(&builder, &request, &told).await.unwrap_err();
        assert_eq!(error.reason(), FailureReason::SecretMissing, "{error:?}");
        let text = error.to_string();
        let expected = format!("wants {wanted}, which the build is not given; name");
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains(&format!("RUN --mount={mount}")), "{text}");
    }
}

#[tokio::test]
async fn the_classic_builder_is_told_no_secrets_and_keys() {
    let dir = checkout(SHELL);
    let builder = builder(Backend::Classic).await;
    let with_key = ImageBuild {
        ssh: Some("NPM_TOKEN".to_owned()),
        ..ImageBuild::default()
    };
    for (spec, wanted) in [
        (with_secret(ImageBuild::default()), "secrets need BuildKit"),
        (with_key, "SSH keys need BuildKit"),
    ] {
        let request = given(dir.path(), spec, "NPM_TOKEN", "value");
        let told = Told::default();
        let error = run(&builder, &request, &told).await.unwrap_err();
        assert_eq!(error.reason(), FailureReason::Unsupported, "{error:?}");
        assert!(error.to_string().starts_with(wanted), "{error}");
        let told = told.text();
        assert!(told.starts_with("This engine has no BuildKit; "), "{told}");
    }
}

/// A new private key, and its fingerprint.
fn key() -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let quietly = ["-q", "-t", "ed25519", "-N", "", "-f"];
    output(Command::new("ssh-keygen").args(quietly).arg(&file));
    let told = output(Command::new("ssh-keygen").arg("-lf").arg(&file));
    let told = String::from_utf8(told).unwrap();
    let fingerprint = told.split(' ').nth(1).unwrap().to_owned();
    (std::fs::read_to_string(&file).unwrap(), fingerprint)
}

/// Puts a program of this host into the checkout, with what it loads.
fn add_program(checkout: &Path, program: &str) {
    let loads = output(Command::new("ldd").arg(program));
    let loads = String::from_utf8(loads).unwrap();
    let libraries = loads
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    for file in libraries.chain([program]) {
        let place = checkout.join("root").join(&file[1..]);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(file, place).unwrap();
    }
}

#[tokio::test]
async fn a_step_uses_the_key_of_the_agent_and_does_not_have_it() {
    let (key, fingerprint) = key();
    let dir = checkout(&format!(
        "{SHELL}COPY root /\nRUN --mount=type=ssh /usr/bin/ssh-add -l && : {}\n",
        unique()
    ));
    add_program(dir.path(), "/usr/bin/ssh-add");
    let scratch = tempfile::tempdir().unwrap();
    let spec = ImageBuild {
        ssh: Some("DEPLOY_KEY".to_owned()),
        no_cache: true,
        ..ImageBuild::default()
    };
    let builder = builder(Backend::BuildKit).await;
    // Many a form has cut off the last line's end.
    for value in [key.as_str(), key.trim_end()] {
        let request = BuildRequest {
            scratch: scratch.path().to_owned(),
            ..given(dir.path(), spec.clone(), "DEPLOY_KEY", value)
        };
        let told = Told::default();
        run(&builder, &request, &told).await.unwrap();
        assert!(told.text().contains(&fingerprint), "{}", told.text());
        let left = scratch.path().read_dir().unwrap().count();
        assert_eq!(left, 0);
    }
    let request = BuildRequest {
        scratch: scratch.path().to_owned(),
        ..given(dir.path(), spec.clone(), "DEPLOY_KEY", "no key")
    };
    let error = run(&builder, &request, &Told::default()).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SecretMissing);
    assert!(
        error
            .to_string()
            .starts_with("the variable DEPLOY_KEY is not"),
        "{error}"
    );
    let request = given(dir.path(), spec, "OTHER", "x");
    let error = run(&builder, &request, &Told::default()).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SecretMissing);
    assert!(
        error.to_string().contains("the variable DEPLOY_KEY, which"),
        "{error}"
    );
}
