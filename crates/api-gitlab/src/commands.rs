//! A job spec as shell lines, for a stock runner that has the `docker` command on its host.
//!
//! Both runner protocols send the same lines: v1 joined into one text, v4 as a list. The runner
//! prints each line and then runs all of them in one shell, which exits at the first line that
//! fails. So every value is quoted, passwords are read from variables, and a trap deletes what the
//! lines leave on the host.

use slipway_domain::image::marker::ImageMarker;
use slipway_domain::spec::SourceDate;
use slipway_domain::{ImageBuild, JobId, JobSpec};
use slipway_farm::ClaimedJob;
use slipway_protocol::{Credentials, REGISTRY_PASSWORD_PREFIX};

/// The name of the variable that holds the password of the login at `position`.
pub(crate) fn password_variable(position: usize) -> String {
    format!("{REGISTRY_PASSWORD_PREFIX}{position}")
}

/// The lines that run a claimed job. A command of a script may itself contain line ends.
pub(crate) fn lines(claimed: &ClaimedJob, logins: &[Credentials]) -> Vec<String> {
    let job = &claimed.job;
    match &job.spec {
        JobSpec::ImageBuild(image) => build_and_push(job.id, image, logins, &claimed.mark),
        JobSpec::Script(script) => {
            let commands = script.commands.iter();
            commands.map(|command| complete(command)).collect()
        }
        // Only our own runner claims index jobs.
        JobSpec::ImageIndex(_) => Vec::new(),
    }
}

/// Lines that put the values of variables into files, for runners that do not do so themselves.
pub(crate) fn write_files(variables: &[String]) -> Vec<String> {
    if variables.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![
        "slipway_files=\"$(mktemp -d)\"".to_owned(),
        "trap 'rm -rf \"$slipway_files\"' EXIT".to_owned(),
    ];
    for key in variables {
        lines.push(format!(
            "printf '%s' \"${key}\" > \"$slipway_files/{key}\"; export {key}=\"$slipway_files/{key}\""
        ));
    }
    lines
}

/// The lines of a job for runners of protocol v1, which split the text at each line end, trim the
/// lines and print them. A command with line ends becomes one line, like the values of image builds.
pub(crate) fn text(before: &[String], claimed: &ClaimedJob, logins: &[Credentials]) -> String {
    let lines = lines(claimed, logins).into_iter().map(on_one_line);
    let lines: Vec<String> = before.iter().cloned().chain(lines).collect();
    lines.join("\n")
}

fn on_one_line(line: String) -> String {
    if line.contains(['\n', '\r']) || line.trim() != line {
        evaluated(&line)
    } else {
        line
    }
}

/// A command that does not continue in the line that the runner writes after it.
fn complete(command: &str) -> String {
    let backslashes = command.bytes().rev().take_while(|byte| *byte == b'\\');
    if backslashes.count() % 2 == 1 {
        evaluated(command)
    } else {
        command.to_owned()
    }
}

fn evaluated(command: &str) -> String {
    format!("eval {}", quoted(command))
}

/// The lines that build and push an image, and print a line with `mark` that reports the digest.
fn build_and_push(
    job: JobId,
    image: &ImageBuild,
    logins: &[Credentials],
    mark: &ImageMarker,
) -> Vec<String> {
    let references: Vec<String> = image
        .repository
        .iter()
        .flat_map(|repository| image.tags.iter().map(|tag| repository.tagged(tag)))
        .collect();
    let mut lines = vec![
        "slipway_dir=\"$(mktemp -d)\"".to_owned(),
        // Builds in parallel may push the same tags, and jobs of another farm on this host may have
        // the same id. The random directory name makes the image name unique.
        format!("slipway_image=\"slipway-job:{job}-${{slipway_dir##*.}}\""),
        cleanup_line(references.iter().chain(&image.cache_to)),
    ];
    if !logins.is_empty() {
        // Keeps the logins out of the configuration of the host's users; the trap deletes it.
        lines.push("export DOCKER_CONFIG=\"$slipway_dir\"".to_owned());
    }
    for (position, login) in logins.iter().enumerate() {
        lines.push(format!(
            "printf '%s' \"${}\" | docker login --username {} --password-stdin {}",
            password_variable(position),
            quoted(&login.username),
            quoted(&login.url)
        ));
    }
    if !image.secrets.is_empty() {
        // The classic builder does not support `--secret`.
        lines.push("export DOCKER_BUILDKIT=1".to_owned());
    }
    for variable in image.secrets.values() {
        // The shell exits here with this message if the variable is not set.
        lines.push(format!(": \"${{{variable}?is not set on the project}}\""));
    }
    lines.push(build_line(image));
    if let Some(cache) = &image.cache_to {
        // A missing cache only makes later builds slower, so the job goes on if this push fails.
        let cache = quoted(cache);
        lines.push(format!("docker tag \"$slipway_image\" {cache}"));
        lines.push(format!(
            "docker push {cache} || echo 'Could not push the image as a build cache'"
        ));
    }
    for reference in &references {
        lines.push(format!(
            "docker tag \"$slipway_image\" {}",
            quoted(reference)
        ));
        lines.push(format!(
            "slipway_pushed=\"$(docker push {})\"",
            quoted(reference)
        ));
        lines.push("printf '%s\\n' \"$slipway_pushed\"".to_owned());
    }
    if !references.is_empty() {
        lines.push(DIGEST_LINE.to_owned());
        lines.push(SIZE_LINE.to_owned());
        // A push without a digest in its output must fail the job: the farm reads the image from
        // the marked line, and would otherwise record a success without an image.
        lines.push("test -n \"$slipway_digest\"".to_owned());
        let marked = mark.line("$slipway_digest", "$slipway_size");
        lines.push(format!("echo \"{marked}\""));
    }
    lines
}

/// Reads the digest from the last line that `docker push` prints: `TAG: digest: sha256:… size: N`.
const DIGEST_LINE: &str = r#"slipway_digest="$(printf '%s\n' "$slipway_pushed" | sed -n 's/^.*: digest: \(sha256:[0-9a-f]*\) size: .*$/\1/p')""#;

/// Adds up the unpacked sizes of the layers. An engine with the image store of containerd reports
/// only the compressed size of the whole image. A size that is not reported does not fail the job.
const SIZE_LINE: &str = r#"slipway_size=0; for slipway_layer in $(docker history --human=false --format '{{.Size}}' "$slipway_image" || :); do case "$slipway_layer" in *[!0-9]*) ;; *) slipway_size="$((slipway_size + slipway_layer))" ;; esac; done"#;

/// A trap that deletes the images and the directory whenever the shell exits, also after a failure.
///
/// Image references need no quoting: none of their characters is special in a shell.
fn cleanup_line<'a>(references: impl Iterator<Item = &'a String>) -> String {
    let references: Vec<&str> = references.map(String::as_str).collect();
    format!(
        "trap 'docker image rm \"$slipway_image\" {} >/dev/null 2>&1 || :; rm -rf \"$slipway_dir\"' EXIT",
        references.join(" ")
    )
}

fn build_line(image: &ImageBuild) -> String {
    let mut words = vec!["docker".to_owned(), "build".to_owned()];
    words.extend(["--file".to_owned(), quoted(&in_checkout(&image.dockerfile))]);
    if image.no_cache {
        words.push("--no-cache".to_owned());
    }
    if image.pull {
        words.push("--pull".to_owned());
    }
    if let Some(target) = &image.target {
        words.extend(["--target".to_owned(), quoted(target)]);
    }
    for (name, value) in &image.args {
        words.extend(["--build-arg".to_owned(), quoted(&format!("{name}={value}"))]);
    }
    for (name, value) in &image.labels {
        words.extend(["--label".to_owned(), quoted(&format!("{name}={value}"))]);
    }
    for platform in &image.platforms {
        words.extend(["--platform".to_owned(), quoted(&platform.to_string())]);
    }
    for (id, variable) in &image.secrets {
        let secret = format!("id={id},env={variable}");
        words.extend(["--secret".to_owned(), quoted(&secret)]);
    }
    match image.source_date {
        None => {}
        Some(SourceDate::Seconds(seconds)) => words.extend([
            "--build-arg".to_owned(),
            format!("SOURCE_DATE_EPOCH={seconds}"),
        ]),
        Some(SourceDate::Commit) => words.extend([
            "--build-arg".to_owned(),
            "SOURCE_DATE_EPOCH=\"$(git log -1 --format=%ct)\"".to_owned(),
        ]),
    }
    for source in cache_sources(image) {
        // Not pulled first: that would set a local tag which parallel builds share. BuildKit reads
        // the image from the registry, and builds without a cache if it is missing.
        words.extend(["--cache-from".to_owned(), quoted(&source)]);
    }
    let is_cache = image.cache_tag.is_some() || image.cache_to.is_some();
    if is_cache && !image.args.contains_key(INLINE_CACHE) {
        words.extend(["--build-arg".to_owned(), format!("{INLINE_CACHE}=1")]);
    }
    words.extend(["--tag".to_owned(), "\"$slipway_image\"".to_owned()]);
    words.push(quoted(&in_checkout(&image.context)));
    words.join(" ")
}

/// The build argument that makes `BuildKit` store cache metadata in the image.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// The images whose layers may be reused, the most likely match first.
fn cache_sources(image: &ImageBuild) -> Vec<String> {
    let tags = image.cache_tag.iter().chain(&image.fallback_cache_tag);
    let in_repository = image
        .repository
        .iter()
        .flat_map(|repository| tags.clone().map(|tag| repository.tagged(tag)));
    let others = image.cache_images.iter().chain(&image.cache_image).cloned();
    in_repository.chain(others).collect()
}

/// A path in the checkout. The `./` keeps `docker build` from reading it as a URL or as a flag.
fn in_checkout(path: &str) -> String {
    format!("./{path}")
}

/// `text` as one word of a POSIX shell, without line ends: v1 runners split the commands there.
fn quoted(text: &str) -> String {
    let word = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    if !text.contains(['\n', '\r']) {
        return word(text);
    }
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    // Command substitution strips line ends at the end of the value.
    format!("\"$(printf '%b' {})\"", word(&escaped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A fake `docker`: prints its arguments, and the output that the real one would print.
    const DOCKER: &str = r#"
docker() {
    { printf 'docker'; printf ' <%s>' "$@"; printf '\n'; } >&2
    case "$1 $2" in
        push*) printf 'The push refers to x\nv1: digest: sha256:0a1b size: 527\n' ;;
        history*) printf '0B\n0\n1200\n34\n' ;;
        login*) printf 'password: <%s>\n' "$(cat)" >&2 ;;
    esac
}
"#;

    fn image() -> ImageBuild {
        ImageBuild {
            context: "a b".to_owned(),
            repository: "localhost:5000/acme/api".parse().ok(),
            tags: vec!["v1".to_owned(), "main".to_owned()],
            ..ImageBuild::default()
        }
    }

    fn text_of(
        job: JobId,
        image: &ImageBuild,
        logins: &[Credentials],
        mark: &ImageMarker,
    ) -> String {
        build_and_push(job, image, logins, mark).join("\n")
    }

    fn login() -> Credentials {
        Credentials {
            kind: "registry".to_owned(),
            url: "localhost:5000".to_owned(),
            username: "o'neil".to_owned(),
            password: "secret".to_owned(),
        }
    }

    /// Runs `commands` in a shell; returns the output, and the calls of `docker` with their
    /// arguments.
    fn run(shell: &str, commands: &str) -> (String, String) {
        let script = format!("set -e\n{DOCKER}\n{commands}\n");
        let result = Command::new(shell)
            .args(["-c", &script])
            .env(password_variable(0), "secret")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (output, calls) = (text(&result.stdout), text(&result.stderr));
        assert!(result.status.success(), "{output}\n{calls}");
        (output, calls)
    }

    #[test]
    fn every_value_of_a_spec_stays_one_shell_word() {
        let mut image = image();
        let hostile = "'; rm -rf /\n$(id) \\n %s\r\n\tx";
        image.args.insert("X".to_owned(), hostile.to_owned());
        image.target = Some("it's".to_owned());
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[login()], &mark);
        assert!(!text.contains("secret"));
        for shell in ["sh", "bash"] {
            let (_, calls) = run(shell, &text);
            let build = calls.split(" <slipway-job:42-").next().unwrap();
            assert_eq!(
                build,
                format!(
                    "docker <login> <--username> <o'neil> <--password-stdin> <localhost:5000>\n\
                     password: <secret>\n\
                     docker <build> <--file> <./Dockerfile> <--target> <it's> \
                     <--build-arg> <X={hostile}> <--tag>"
                )
            );
        }
    }

    #[test]
    fn a_command_with_several_lines_survives_a_runner_that_trims_them() {
        let commands = [
            "cat <<EOF\n  indented \\$HOME\n\ttab 'quoted'\nEOF",
            "printf '%s\\n' one \\\n  two",
            "if true; then\n    X=5\nfi",
            "echo \"$X\"",
            "  echo space\\ ",
            "cat <<'EOF'\n\n100% \\n $X\n\nEOF\n",
            "echo last \\",
        ];
        let lines = commands.map(|command| on_one_line(complete(command)));
        assert_eq!(lines[3], commands[3]);
        // As a stock runner does it.
        let text = lines.join("\n");
        let trimmed: Vec<&str> = text.split('\n').map(str::trim).collect();
        assert_eq!(trimmed.len(), commands.len());
        for shell in ["sh", "bash"] {
            let (output, _) = run(shell, &format!("{}\necho end", trimmed.join("\n")));
            let expected =
                "  indented $HOME\n\ttab 'quoted'\none\ntwo\n5\nspace \n\n100% \\n $X\n\nlast";
            assert_eq!(
                output.split("last").next(),
                expected.split("last").next(),
                "{shell}"
            );
            assert!(output.ends_with("\nend\n"), "{output}");
        }
    }

    #[test]
    fn variables_are_written_to_files_that_are_deleted_at_the_end() {
        let lines = write_files(&["KEY".to_owned()]).join("\n");
        for shell in ["sh", "bash"] {
            let script =
                format!("set -e\nKEY='a\n b'; export KEY\n{lines}\ncat \"$KEY\"; echo \"|$KEY\"");
            let output = Command::new(shell).args(["-c", &script]).output().unwrap();
            let output = String::from_utf8(output.stdout).unwrap();
            let path = output.strip_prefix("a\n b|").unwrap().trim_end();
            assert!(path.ends_with("/KEY"), "{path}");
            assert!(!std::path::Path::new(path).exists());
        }
        assert!(write_files(&[]).is_empty());
    }

    #[test]
    fn a_failing_line_of_a_command_ends_the_job() {
        let command = on_one_line("echo one\nfalse\necho two".to_owned());
        for shell in ["sh", "bash"] {
            let script = format!("set -e\n{command}\necho three");
            let output = Command::new(shell).args(["-c", &script]).output().unwrap();
            assert!(!output.status.success());
            assert_eq!(output.stdout, b"one\n");
        }
    }

    #[test]
    fn every_tag_is_pushed_and_the_last_line_reports_the_image() {
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image(), &[], &mark);
        assert!(!text.contains("DOCKER_CONFIG"));
        let (output, calls) = run("sh", &text);
        let last = output.lines().last().unwrap();
        assert_eq!(last, mark.line("sha256:0a1b", "1234"));
        for tag in ["v1", "main"] {
            let pushed = format!("docker <push> <localhost:5000/acme/api:{tag}>");
            assert!(calls.contains(&pushed), "{calls}");
        }
    }

    #[test]
    fn build_reuses_layers_of_the_images_with_the_cache_tags() {
        let image = ImageBuild {
            cache_tag: Some("side".to_owned()),
            fallback_cache_tag: Some("main".to_owned()),
            ..image()
        };
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[], &mark);
        let (_, calls) = run("sh", &text);
        let words = "<--cache-from> <localhost:5000/acme/api:side> \
                     <--cache-from> <localhost:5000/acme/api:main> <--build-arg> <BUILDKIT_INLINE_CACHE=1>";
        assert!(calls.contains(words), "{calls}");
    }

    #[test]
    fn image_without_a_repository_is_built_but_not_pushed() {
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &ImageBuild::default(), &[], &mark);
        let (output, calls) = run("sh", &text);
        assert_eq!(output, "");
        assert!(calls.starts_with("docker <build> "), "{calls}");
        assert!(!calls.contains("push"), "{calls}");
    }

    #[test]
    fn build_options_become_docker_flags() {
        let mut image = ImageBuild {
            cache_tag: Some("main".to_owned()),
            fallback_cache_tag: Some("stable".to_owned()),
            cache_images: vec!["registry.example/base:1".to_owned()],
            cache_to: Some("localhost:5000/acme/cache:main".to_owned()),
            platforms: vec!["linux/arm64".parse().unwrap()],
            source_date: Some(SourceDate::Seconds(7)),
            ..image()
        };
        let variable = password_variable(0);
        image.secrets.insert("token".to_owned(), variable.clone());
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[], &mark);
        assert!(!text.contains("secret>"), "{text}");
        let (output, calls) = run("sh", &text);
        for words in [
            "<--platform> <linux/arm64>".to_owned(),
            format!("<--secret> <id=token,env={variable}>"),
            "<--build-arg> <SOURCE_DATE_EPOCH=7>".to_owned(),
            "<--cache-from> <localhost:5000/acme/api:main> \
             <--cache-from> <localhost:5000/acme/api:stable> \
             <--cache-from> <registry.example/base:1> \
             <--build-arg> <BUILDKIT_INLINE_CACHE=1>"
                .to_owned(),
            "docker <push> <localhost:5000/acme/cache:main>".to_owned(),
        ] {
            assert!(calls.contains(&words), "{words}: {calls}");
        }
        // The last line must not report the cache image, which has another reference.
        assert_eq!(
            output.lines().last().unwrap(),
            mark.line("sha256:0a1b", "1234")
        );
    }

    #[test]
    fn unset_secret_variable_stops_the_shell_before_the_build() {
        let mut image = image();
        let missing = "UNSET_VARIABLE".to_owned();
        image.secrets.insert("token".to_owned(), missing);
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[], &mark);
        let script = format!("set -e\n{DOCKER}\n{text}\n");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(error.contains("is not set on the project"), "{error}");
        assert!(!error.contains("docker <build>"), "{error}");
    }

    #[test]
    fn source_date_of_the_commit_is_read_from_git() {
        let image = ImageBuild {
            source_date: Some(SourceDate::Commit),
            ..image()
        };
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[], &mark);
        let (_, calls) = run("sh", &format!("git() {{ echo 1700000000; }}\n{text}"));
        let words = "<--build-arg> <SOURCE_DATE_EPOCH=1700000000>";
        assert!(calls.contains(words), "{calls}");
    }
}
