//! The messages of real engines, and what they mean.

use super::*;

/// What a failure is reported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The command ended with this code.
    Exit(i64),
    /// A step cannot work as it is written.
    Step,
    Dockerfile,
    Frontend,
    BaseImage,
    DiskFull,
    Host,
}

fn meaning(error: &BuildError) -> Meaning {
    match error {
        BuildError::BuildFailed {
            code: Some(code), ..
        } => Meaning::Exit(*code),
        BuildError::BuildFailed { code: None, .. } => Meaning::Step,
        BuildError::DockerfileInvalid { .. } => Meaning::Dockerfile,
        BuildError::FrontendUnavailable { .. } => Meaning::Frontend,
        BuildError::BaseImageUnavailable { .. } => Meaning::BaseImage,
        BuildError::DiskFull => Meaning::DiskFull,
        BuildError::HostFailed { .. } => Meaning::Host,
        other => panic!("{other}"),
    }
}

fn step(name: &str) -> FailedStep {
    FailedStep {
        name: name.to_owned(),
        ..FailedStep::default()
    }
}

fn stream(message: &str, step: Option<&FailedStep>) -> BuildError {
    let error = Error::DockerStreamError {
        error: message.to_owned(),
    };
    build_error(error, step, &ImageBuild::default())
}

fn assert_meanings(name: &str, cases: &[(&str, Meaning)]) {
    for (message, expected) in cases {
        // BuildKit also reports the message with the step, the other builders only at the end.
        let with_error = FailedStep {
            error: (*message).to_owned(),
            ..step(name)
        };
        for step in [step(name), with_error] {
            let error = stream(message, Some(&step));
            assert_eq!(meaning(&error), *expected, "{message}\n{error}");
        }
    }
}

#[test]
fn only_the_end_of_a_command_is_the_fault_of_the_command() {
    use Meaning::{DiskFull, Exit, Host};
    assert_meanings(
        "[2/2] RUN make",
        &[
            // Docker 20.10 with BuildKit, and newer versions.
            (
                "executor failed running [/bin/sh -c make]: exit code: 7",
                Exit(7),
            ),
            (
                "process \"/bin/sh -c make\" did not complete successfully: exit code: 137",
                Exit(137),
            ),
            (
                "failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 2",
                Exit(2),
            ),
            // The kernel killed it. Another host may have as little memory.
            (
                "process \"/bin/sh -c make\" did not complete successfully: cannot allocate memory",
                Exit(137),
            ),
            // The runtime was killed, or the engine stopped the build.
            (
                "executor failed running [/bin/sh -c make]: exit code: 4294967295",
                Host,
            ),
            (
                "process \"/bin/sh -c make\" did not complete successfully: exit code: 137: context canceled",
                Host,
            ),
            // An engine without its bridge.
            (
                "executor failed running [/bin/sh -c make]: failed to create endpoint xu5zj1h62gff on network bridge: adding interface veth6f0e120 to bridge docker0 failed: could not find bridge docker0: route ip+net: no such network interface",
                Host,
            ),
            (
                "process \"/bin/sh -c make\" did not complete successfully: failed to create endpoint w8k on network bridge: failed to add the host (veth0) <=> sandbox (veth1) pair interfaces: operation not supported",
                Host,
            ),
            (
                "process \"/bin/sh -c make\" did not complete successfully: network bridge not found",
                Host,
            ),
            // A runtime that cannot be started.
            (
                "executor failed running [/bin/sh -c make]: fork/exec /usr/bin/runc: no such file or directory",
                Host,
            ),
            (
                "process \"/bin/sh -c make\" did not complete successfully: exec: \"runc\": executable file not found in $PATH",
                Host,
            ),
            // Snapshots and mounts.
            (
                "failed to prepare 04ivioy2sm8aqd6bhjla5w3k7: write /var/lib/docker/overlay2/04i/link: no space left on device",
                DiskFull,
            ),
            (
                "process \"/bin/sh -c make\" did not complete successfully: failed to mount /tmp/buildkit-mount1: [{Type:overlay Source:overlay}]: stale file handle",
                Host,
            ),
            (
                "error creating overlay mount to /var/lib/docker/overlay2/x/merged: invalid argument",
                Host,
            ),
            (
                "failed to prepare p9g as lx2: failed to create temp dir: mkdir /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/new-1: no space left on device",
                DiskFull,
            ),
            (
                "mkdir /var/lib/docker/overlay2/x: disk quota exceeded",
                DiskFull,
            ),
            ("failed to get state for index 0 on vertex", Host),
        ],
    );
    assert_meanings(
        "Step 2/2 : RUN make",
        &[
            (
                "The command '/bin/sh -c make' returned a non-zero code: 3",
                Exit(3),
            ),
            (
                "failed to create endpoint sharp_ganguly on network bridge: adding interface vethff5946d to bridge docker0 failed: could not find bridge docker0: route ip+net: no such network interface",
                Host,
            ),
            (
                "failed to create shim task: OCI runtime create failed: unable to retrieve OCI runtime error (open /run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/3eb6/log.json: no such file or directory): runc did not terminate successfully: exit status 1: unknown",
                Host,
            ),
            (
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: write cpu.max: invalid argument: unknown",
                Host,
            ),
            (
                "connection error: desc = \"transport: Error while dialing dial unix /run/containerd/containerd.sock: connect: connection refused\": unavailable",
                Host,
            ),
            (
                "mkdir /var/lib/docker/overlay2/x-init: no space left on device",
                DiskFull,
            ),
            // Podman.
            (
                "building at STEP \"RUN make\": while running runtime: exit status 3\n",
                Exit(3),
            ),
            (
                "error building at STEP \"RUN make\": error while running runtime: exit status 125",
                Exit(125),
            ),
            (
                "building at STEP \"RUN make\": setup network: netavark: create bridge: Netlink error: No such device",
                Host,
            ),
            (
                "building at STEP \"RUN make\": mounting new container: creating overlay mount to /var/lib/containers/storage/overlay/x/merged: invalid argument",
                Host,
            ),
        ],
    );
}

#[test]
fn words_in_the_command_decide_nothing() {
    let command = "grep 'no space left on device: failed to mount' log]: || echo \"x\": exit 3";
    for (name, message) in [
        (
            format!("[2/2] RUN {command}"),
            format!("executor failed running [/bin/sh -c {command}]: exit code: 3"),
        ),
        (
            format!("[2/2] RUN {command}"),
            format!("process \"/bin/sh -c {command}\" did not complete successfully: exit code: 3"),
        ),
        (
            format!("Step 2/2 : RUN {command}"),
            format!("The command '/bin/sh -c {command}' returned a non-zero code: 3"),
        ),
        (
            format!("Step 2/2 : RUN {command}"),
            format!("building at STEP \"RUN {command}\": while running runtime: exit status 3"),
        ),
    ] {
        let error = stream(&message, Some(&step(&name)));
        assert_eq!(meaning(&error), Meaning::Exit(3), "{message}");
    }
    let host = format!("executor failed running [/bin/sh -c {command}]: something unheard of");
    let error = stream(&host, Some(&step(&format!("[2/2] RUN {command}"))));
    assert!(
        matches!(&error, BuildError::HostFailed { detail, .. } if detail == "something unheard of"),
        "{error}"
    );
}

#[test]
fn a_step_that_cannot_work_is_the_fault_of_the_dockerfile() {
    use Meaning::Step;
    assert_meanings(
        "[2/2] RUN make",
        &[
            (
                "executor failed running [/bin/sh -c make]: unable to find user foo: invalid argument",
                Step,
            ),
            (
                "unable to find user foo: no matching entries in passwd file",
                Step,
            ),
            (
                "building at STEP \"RUN make\": determining run uid: user: unknown user error looking up user \"foo\"\n",
                Step,
            ),
            (
                "failed to compute cache key: \"/nope\" not found: not found",
                Step,
            ),
            (
                "failed to calculate checksum of ref moby::x1: \"/nope\": not found",
                Step,
            ),
            (
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/nope\": stat /nope: no such file or directory: unknown",
                Step,
            ),
            (
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"make\": executable file not found in $PATH: unknown",
                Step,
            ),
            (
                "OCI runtime create failed: runc create failed: unable to start container process: error during container init: error mounting \"/x\" to rootfs at \"/bin/sh\": not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)?",
                Step,
            ),
        ],
    );
    assert_meanings(
        "[2/3] WORKDIR /bin/sh",
        &[(
            "mkdir /var/lib/docker/overlay2/dy1cvf/merged/bin/sh: not a directory",
            Step,
        )],
    );
    assert_meanings(
        "Step 2/2 : COPY cgroup.c /x",
        &[
            (
                "COPY failed: file not found in build context or excluded by .dockerignore: stat cgroup.c: file does not exist",
                Step,
            ),
            (
                "ADD failed: Get \"http://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection refused",
                Step,
            ),
            (
                "building at STEP \"COPY cgroup.c /x\": checking on sources under \"/tmp/a\": copier: stat: \"/cgroup.c\": no such file or directory",
                Step,
            ),
            (
                "failed to prepare b1: mkdir /var/lib/docker/overlay2/b1: input/output error",
                Meaning::Host,
            ),
            (
                "failed to copy files: write /x: no space left on device",
                Meaning::DiskFull,
            ),
        ],
    );
}

#[test]
fn a_runtime_that_cannot_start_a_command_is_known_by_its_output() {
    let message = "executor failed running [/bin/sh -c make]: exit code: 1";
    for (output, expected) in [
        (
            "container_linux.go:380: starting container process caused: process_linux.go:402: container init caused: write cpu.max: invalid argument",
            Meaning::Host,
        ),
        (
            "runc run failed: unable to start container process: unable to apply cgroup configuration: mkdir /sys/fs/cgroup/x: no space left on device",
            Meaning::DiskFull,
        ),
        (
            "runc run failed: unable to start container process: exec: \"/nope\": stat /nope: no such file or directory",
            Meaning::Step,
        ),
        (
            "runc run failed: unable to start container process: exec: \"/x\": permission denied",
            Meaning::Step,
        ),
        (
            "error running container: from /usr/bin/crun creating container for [/nope]: executable file `/nope` not found: No such file or directory",
            Meaning::Step,
        ),
        (
            "error running container: from /usr/bin/runc creating container for [/x]: time=\"2026-11-30T06:27:12Z\" level=error msg=\"runc create failed: unable to start container process: error during container init: exec: \\\"/x\\\": permission denied\"",
            Meaning::Step,
        ),
        (
            "error running container: from /usr/bin/crun creating container for [/bin/sh -c make]: sd-bus call: Connection reset by peer",
            Meaning::Host,
        ),
    ] {
        assert!(is_runtime_error(output), "{output}");
        let step = FailedStep {
            runtime_error: Some(output.to_owned()),
            ..step("[2/2] RUN make")
        };
        let error = stream(message, Some(&step));
        assert_eq!(meaning(&error), expected, "{output}");
    }
    let with_code = FailedStep {
        runtime_error: Some("runc run failed: something".to_owned()),
        ..step("[2/2] RUN make")
    };
    let error = stream(
        "executor failed running [/bin/sh -c make]: exit code: 2",
        Some(&with_code),
    );
    assert_eq!(meaning(&error), Meaning::Exit(2));
}

#[test]
fn what_is_refused_before_any_step_is_the_fault_of_the_dockerfile() {
    for message in [
        "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unexpected key 'foo' in 'foo=bar'",
        "failed to solve: lint violation found for rules: JSONArgsRecommended",
        "failed to solve: unexpected key 'foo' in 'foo=bar'",
        "unexpected key 'foo' in 'foo=bar' (did you mean from?)",
        "unsupported mount type \"foo\"",
        "invalid checksum digest length",
        "failed to load LLB: network.host is not allowed",
        "failed to solve: digest mismatch sha256:01: sha256:02",
        "failed to solve: failed to load cache key: checksum mismatch",
        "failed to solve with frontend dockerfile.v0: failed to create LLB definition: invalid stage index 3",
        "invalid from flag value 3: index out of bounds",
        "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/",
        "granting entitlement network.host is not allowed by build daemon configuration",
        "a sentence that no version has used so far",
    ] {
        assert_eq!(
            meaning(&stream(message, None)),
            Meaning::Dockerfile,
            "{message}"
        );
    }
    for (name, message) in [
        (
            "[2/2] ADD --checksum=sha256:02 http://r.example/x /x",
            "digest mismatch sha256:01: sha256:02",
        ),
        (
            "Step 2/2 : BOGUS x",
            "building at STEP \"BOGUS \": Build error: Unknown instruction: \"BOGUS\" &imagebuilder.Step{}\n",
        ),
        (
            "Step 2/2 : RUN --mount=type=cache,foo=bar,target=/x true",
            "building at STEP \"RUN --mount=type=cache,foo=bar,target=/x true\": resolving mountpoints for container \"a0c2\": foo: invalid mount option\n",
        ),
    ] {
        let error = stream(message, Some(&step(name)));
        assert_eq!(meaning(&error), Meaning::Dockerfile, "{message}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let refused = |status_code, message: &str| {
        let message = message.to_owned();
        let error = Error::DockerResponseServerError {
            status_code,
            message,
        };
        meaning(&build_error(error, None, &ImageBuild::default()))
    };
    assert_eq!(
        refused(400, "dockerfile parse error line 2: x"),
        Meaning::Dockerfile
    );
    assert_eq!(
        refused(500, "dockerfile parse error line 2: x"),
        Meaning::Dockerfile
    );
    assert_eq!(refused(500, "panic"), Meaning::Host);
    assert_eq!(
        refused(
            500,
            "mkdir /var/lib/docker/tmp/docker-builder3: no space left on device"
        ),
        Meaning::DiskFull
    );
    assert_eq!(
        refused(
            500,
            "Error processing tar file(exit status 1): write /busybox: no space left on device"
        ),
        Meaning::DiskFull
    );
}

#[test]
fn an_engine_that_fails_outside_of_a_step_is_the_fault_of_the_host() {
    for (message, expected) in [
        ("failed to solve: Canceled: context canceled", Meaning::Host),
        (
            "failed to solve with frontend dockerfile.v0: failed to read dockerfile: failed to mount /tmp/x: input/output error",
            Meaning::Host,
        ),
        (
            "failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF",
            Meaning::Host,
        ),
        (
            "failed to solve with frontend dockerfile.v0: failed to read downloaded context: failed to load cache key: failed to prepare ivg: mkdir /var/lib/docker/overlay2/ivg: no space left on device",
            Meaning::DiskFull,
        ),
        (
            "error creating temporary lease: connection error: desc = \"transport: Error while dialing dial unix /run/containerd.sock: connect: connection refused\": unavailable",
            Meaning::Host,
        ),
    ] {
        assert_eq!(meaning(&stream(message, None)), expected, "{message}");
    }
    let exporting = step("exporting to image");
    let error = stream(
        "failed to export image: layer does not exist",
        Some(&exporting),
    );
    assert_eq!(meaning(&error), Meaning::Host);
}

#[test]
fn a_missing_dockerfile_is_not_an_invalid_one() {
    for message in [
        "Cannot locate specified Dockerfile: a/Dockerfile",
        "failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory",
    ] {
        let loading = step("[internal] load build definition from Dockerfile");
        for step in [None, Some(&loading)] {
            let error = stream(message, step);
            assert!(
                matches!(error, BuildError::DockerfileMissing { .. }),
                "{error}"
            );
        }
    }
}

#[test]
fn an_image_that_cannot_be_pulled_is_a_base_image_or_a_frontend() {
    let message = "failed to solve: docker.io/library/x:1: not found";
    let error = stream(
        message,
        Some(&step("[internal] load metadata for docker.io/library/x:1")),
    );
    assert!(
        matches!(&error, BuildError::BaseImageUnavailable { image, detail }
            if image == "docker.io/library/x:1" && detail == "docker.io/library/x:1: not found"),
        "{error}"
    );
    for name in [
        "resolve image config for docker.io/docker/dockerfile:nope",
        "resolve image config for docker-image://docker.io/docker/dockerfile:nope",
        "docker-image://docker.io/docker/dockerfile:nope",
    ] {
        let error = stream(
            "docker.io/docker/dockerfile:nope: not found",
            Some(&step(name)),
        );
        assert_eq!(meaning(&error), Meaning::Frontend);
        let text = error.to_string();
        assert!(
            !text.contains("base image") && text.contains("docker/dockerfile:nope"),
            "{text}"
        );
    }
    assert_meanings(
        "Step 1/2 : FROM r.example/a:1",
        &[
            (
                "manifest for r.example/a:1 not found: manifest unknown",
                Meaning::BaseImage,
            ),
            (
                "Get \"https://r.example/v2/\": context deadline exceeded",
                Meaning::BaseImage,
            ),
            (
                "received unexpected HTTP status: 503 Service Unavailable",
                Meaning::BaseImage,
            ),
            (
                "error creating temporary lease: connection error: desc = \"transport: x\": unavailable",
                Meaning::Host,
            ),
            (
                "failed to register layer: write /x: no space left on device",
                Meaning::DiskFull,
            ),
        ],
    );
}

#[test]
fn pulled_images_are_recognized_in_steps_of_all_builders() {
    for (name, image) in [
        (
            "[internal] load metadata for r:5000/a:1",
            Some("r:5000/a:1"),
        ),
        (
            "[build 1/4] FROM docker.io/library/rust@sha256:12",
            Some("docker.io/library/rust@sha256:12"),
        ),
        (
            "Step 1/3 : FROM --platform=linux/amd64 a:1 AS b",
            Some("a:1"),
        ),
        (
            "docker-image://docker.io/docker/dockerfile:1",
            Some("docker.io/docker/dockerfile:1"),
        ),
        ("[2/3] RUN echo FROM x", None),
        ("[2/3] COPY --from=a /x /y", None),
        ("Step 2/3 : RUN FROM x", None),
    ] {
        assert_eq!(pulled_image(name).as_deref(), image, "{name}");
    }
}

#[test]
fn long_messages_are_shortened_to_one_line() {
    let long = shorten(&"ä \n".repeat(1000));
    assert!(long.chars().count() <= 501 && !long.contains('\n'));
}

fn refused(status_code: u16, message: &str) -> Result<(), Error> {
    Err(Error::DockerResponseServerError {
        status_code,
        message: message.to_owned(),
    })
}

#[test]
fn deleting_what_is_already_deleted_is_no_error() {
    // The answers of Docker 20.10 to the second of two calls that delete one image.
    for (status, message) in [
        (404, "No such image: a:1"),
        (409, "removal of container 12ab is already in progress"),
        (500, "unrecognized image ID sha256:24742aa09ec4"),
    ] {
        assert!(
            ignore_missing(refused(status, message)).is_ok(),
            "{message}"
        );
    }
    assert!(ignore_missing(refused(500, "input/output error")).is_err());
}
