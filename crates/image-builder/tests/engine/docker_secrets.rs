//! Secrets and SSH keys reach the steps that mount them, and nothing else.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use slipway_domain::{FailureReason, ImageBuild};
use slipway_image_builder::{Backend, BuildError, BuildRequest, Variables};
use slipway_test_engine::SHELL;
use tokio_util::sync::CancellationToken;

use crate::docker::{RecordedProgress, builder, checkout, registry, request, run, unique};

fn with_secret(spec: ImageBuild) -> ImageBuild {
    ImageBuild {
        secrets: [("npm".to_owned(), "NPM_TOKEN".to_owned())].into(),
        ..spec
    }
}

fn request_with(checkout: &Path, spec: ImageBuild, name: &str, value: &str) -> BuildRequest {
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

/// The content of all files in an archive; the layers of newer engines are compressed there.
fn unpacked(archive: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut file = Vec::new();
        entry.unwrap().read_to_end(&mut file).unwrap();
        if file.starts_with(&[0x1f, 0x8b]) {
            let mut layer = flate2::read::GzDecoder::new(file.as_slice());
            layer.read_to_end(&mut all).unwrap();
        } else {
            all.extend(file);
        }
    }
    all
}

#[tokio::test]
async fn a_secret_reaches_only_the_step_that_mounts_it_and_not_the_image() {
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
    let request = request_with(dir.path(), spec, "NPM_TOKEN", &secret);
    assert!(!format!("{request:?}").contains(&secret));
    let builder = builder(Backend::BuildKit).await;
    let progress = RecordedProgress::default();
    run(&builder, &request, &progress).await.unwrap();
    // The runner masks it when it writes the trace.
    assert!(progress.text().contains(&secret), "{}", progress.text());

    let name = format!("{repository}:1");
    output(Command::new("docker").args(["pull", "-q", &name]));
    let history = output(Command::new("docker").args(["history", "--no-trunc", &name]));
    let layers = unpacked(&output(Command::new("docker").args(["save", &name])));
    output(Command::new("docker").args(["rmi", &name]));
    assert!(holds(&history, "--mount=type=secret") || holds(&history, "left > /left"));
    assert!(!holds(&history, &secret));
    assert!(holds(&layers, "left\n"));
    assert!(!holds(&layers, &secret));
}

#[tokio::test]
async fn a_secret_is_in_no_command_line_environment_or_file_of_the_host() {
    let (secret, seconds) = (
        unique(),
        format!("4{:07}", rand::random::<u128>() % 10_000_000),
    );
    let dir = checkout(&format!(
        "{SHELL}RUN --mount=type=secret,id=npm test -s /run/secrets/npm && echo sleeping && exec sleep {seconds}\n"
    ));
    let scratch = tempfile::tempdir().unwrap();
    let request = BuildRequest {
        scratch: scratch.path().to_owned(),
        ..request_with(
            dir.path(),
            with_secret(ImageBuild::default()),
            "NPM_TOKEN",
            &secret,
        )
    };
    let builder = builder(Backend::BuildKit).await;
    let (progress, cancel) = (RecordedProgress::default(), CancellationToken::new());
    let (built, ()) = tokio::join!(builder.build(&request, &progress, &cancel), async {
        progress.wait_for("sleeping\n").await;
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
async fn a_secret_without_its_variable_fails_before_the_build_starts() {
    let dir = checkout(SHELL);
    let builder = builder(Backend::BuildKit).await;
    let progress = RecordedProgress::default();
    let request = request_with(dir.path(), with_secret(ImageBuild::default()), "OTHER", "x");
    let error = run(&builder, &request, &progress).await.unwrap_err();
    assert_eq!(error.reason(), FailureReason::SecretMissing);
    assert_eq!(
        error.to_string(),
        "secret `npm` refers to variable `NPM_TOKEN`, which is not set on the project"
    );
    assert_eq!(progress.text(), "");
}

#[tokio::test]
async fn a_step_that_requires_a_missing_secret_or_agent_is_named() {
    for (mount, requirement) in [
        ("type=secret,id=x.y,required", "the secret x.y"),
        ("type=secret,id=x.y,required=true", "the secret x.y"),
        ("type=ssh,required", "an SSH agent"),
    ] {
        let dir = checkout(&format!("{SHELL}RUN --mount={mount} echo {}\n", unique()));
        let builder = builder(Backend::BuildKit).await;
        let progress = RecordedProgress::default();
        let spec = with_secret(ImageBuild::default());
        let request = request_with(dir.path(), spec, "NPM_TOKEN", "value");
        let error = run(&builder, &request, &progress).await.unwrap_err();
        assert_eq!(error.reason(), FailureReason::SecretMissing, "{error:?}");
        let text = error.to_string();
        let expected = format!("requires {requirement}, which the build does not provide; name");
        assert!(text.contains(&expected), "{text}");
        assert!(text.contains(&format!("RUN --mount={mount}")), "{text}");
    }
}

#[tokio::test]
async fn the_classic_builder_refuses_secrets_and_ssh_keys() {
    let dir = checkout(SHELL);
    let builder = builder(Backend::Classic).await;
    let with_key = ImageBuild {
        ssh: Some("NPM_TOKEN".to_owned()),
        ..ImageBuild::default()
    };
    for (spec, expected) in [
        (
            with_secret(ImageBuild::default()),
            "secrets require BuildKit",
        ),
        (with_key, "SSH keys require BuildKit"),
    ] {
        let request = request_with(dir.path(), spec, "NPM_TOKEN", "value");
        let progress = RecordedProgress::default();
        let error = run(&builder, &request, &progress).await.unwrap_err();
        assert_eq!(error.reason(), FailureReason::Unsupported, "{error:?}");
        assert!(error.to_string().starts_with(expected), "{error}");
        let text = progress.text();
        assert!(text.starts_with("This engine has no BuildKit; "), "{text}");
    }
}

/// Creates a private key; returns it and its fingerprint.
fn generate_key() -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let quietly = ["-q", "-t", "ed25519", "-N", "", "-f"];
    output(Command::new("ssh-keygen").args(quietly).arg(&file));
    let progress = output(Command::new("ssh-keygen").arg("-lf").arg(&file));
    let progress = String::from_utf8(progress).unwrap();
    let fingerprint = progress.split(' ').nth(1).unwrap().to_owned();
    (std::fs::read_to_string(&file).unwrap(), fingerprint)
}

/// Copies a program of this host into the checkout, with its shared libraries.
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
async fn a_step_can_use_the_ssh_key_through_the_agent() {
    let (key, fingerprint) = generate_key();
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
    // Web forms may strip the last newline of a key.
    for value in [key.as_str(), key.trim_end()] {
        let request = BuildRequest {
            scratch: scratch.path().to_owned(),
            ..request_with(dir.path(), spec.clone(), "DEPLOY_KEY", value)
        };
        let progress = RecordedProgress::default();
        run(&builder, &request, &progress).await.unwrap();
        assert!(
            progress.text().contains(&fingerprint),
            "{}",
            progress.text()
        );
        let left = scratch.path().read_dir().unwrap().count();
        assert_eq!(left, 0);
    }
    let request = BuildRequest {
        scratch: scratch.path().to_owned(),
        ..request_with(dir.path(), spec.clone(), "DEPLOY_KEY", "no key")
    };
    let error = run(&builder, &request, &RecordedProgress::default())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), FailureReason::SecretMissing);
    assert!(
        error
            .to_string()
            .starts_with("variable `DEPLOY_KEY` is not"),
        "{error}"
    );
    let request = request_with(dir.path(), spec, "OTHER", "x");
    let error = run(&builder, &request, &RecordedProgress::default())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), FailureReason::SecretMissing);
    assert!(
        error.to_string().contains("variable `DEPLOY_KEY`, which"),
        "{error}"
    );
}
