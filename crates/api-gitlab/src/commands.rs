//! A job's spec as shell lines, for a stock runner with the `docker` command on its host.
//!
//! Both generations of stock runners get the same lines: the older as one text, the newer as a list.
//! The runner shows each line, and runs all of them in one shell that ends with the first line that
//! fails. Every value is quoted; passwords come in through variables, so that no line shows one.
//! What the lines leave on the host goes with the shell.

use slipway_domain::image::marker::ImageMarker;
use slipway_domain::spec::SourceDate;
use slipway_domain::{ImageBuild, JobId, JobSpec};
use slipway_farm::ClaimedJob;
use slipway_protocol::Credentials;

/// The variable that holds the password of the login at `position`.
pub(crate) fn password_variable(position: usize) -> String {
    format!("SLIPWAY_REGISTRY_PASSWORD_{position}")
}

/// The lines that do what a claimed job's spec says. A line of a script may hold line ends itself.
pub(crate) fn lines(claimed: &ClaimedJob, logins: &[Credentials]) -> Vec<String> {
    let job = &claimed.job;
    match &job.spec {
        JobSpec::ImageBuild(image) => build_and_push(job.id, image, logins, &claimed.mark),
        JobSpec::Script(script) => script.commands.clone(),
        // No stock runner gets one.
        JobSpec::ImageIndex(_) => Vec::new(),
    }
}

/// The lines that build and push an image, and tell of it by `mark`.
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
        // A name of its own: builds side by side have tags in common, and an id may be theirs too.
        format!("slipway_image=\"slipway-job:{job}-${{slipway_dir##*.}}\""),
        cleaning_line(references.iter().chain(&image.cache_to)),
    ];
    if !logins.is_empty() {
        // Logins go to a place of their own, which the host's users never see.
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
        // Only BuildKit knows what a secret is.
        lines.push("export DOCKER_BUILDKIT=1".to_owned());
    }
    for variable in image.secrets.values() {
        // The shell ends here when the project has no such variable, and says so.
        lines.push(format!(
            ": \"${{{variable}?is not a variable of the project}}\""
        ));
    }
    lines.push(build_line(image));
    if let Some(place) = &image.cache_to {
        // Others build without it, only slower.
        let place = quoted(place);
        lines.push(format!("docker tag \"$slipway_image\" {place}"));
        lines.push(format!(
            "docker push {place} || echo 'The image could not be pushed as a cache'"
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
        lines.push(
            "slipway_size=\"$(docker image inspect --format '{{.Size}}' \"$slipway_image\")\""
                .to_owned(),
        );
        let told = mark.line("$slipway_digest", "$slipway_size");
        lines.push("test -n \"$slipway_digest\"".to_owned());
        lines.push(format!("echo \"{told}\""));
    }
    lines
}

/// Takes the digest from the engine's last word on a push: `TAG: digest: sha256:… size: N`.
const DIGEST_LINE: &str = r#"slipway_digest="$(printf '%s\n' "$slipway_pushed" | sed -n 's/^.*: digest: \(sha256:[0-9a-f]*\) size: .*$/\1/p')""#;

/// Makes the shell remove what it made when it ends, however that is: a shell that ends with the
/// first failure does so in a trap as well. References have no character that means anything to it.
fn cleaning_line<'a>(references: impl Iterator<Item = &'a String>) -> String {
    let references: Vec<&str> = references.map(String::as_str).collect();
    format!(
        "trap 'docker image rm \"$slipway_image\" {} >/dev/null 2>&1 || :; rm -rf \"$slipway_dir\"' EXIT",
        references.join(" ")
    )
}

fn build_line(image: &ImageBuild) -> String {
    let mut words = vec!["docker".to_owned(), "build".to_owned()];
    words.extend(["--file".to_owned(), quoted(&here(&image.dockerfile))]);
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
        // Pulled first, it would take a local tag that builds side by side have in common. BuildKit
        // finds it in the registry, and goes on without when there is none.
        words.extend(["--cache-from".to_owned(), quoted(&source)]);
    }
    let is_cache = image.cache_tag.is_some() || image.cache_to.is_some();
    if is_cache && !image.args.contains_key(INLINE_CACHE) {
        words.extend(["--build-arg".to_owned(), format!("{INLINE_CACHE}=1")]);
    }
    words.extend(["--tag".to_owned(), "\"$slipway_image\"".to_owned()]);
    words.push(quoted(&here(&image.context)));
    words.join(" ")
}

/// By this build argument `BuildKit` writes down in an image how it was made.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// The images that layers may be taken from, those first that are the likeliest to have them.
fn cache_sources(image: &ImageBuild) -> Vec<String> {
    let tags = image.cache_tag.iter().chain(&image.fallback_cache_tag);
    let of_repository = image
        .repository
        .iter()
        .flat_map(|repository| tags.clone().map(|tag| repository.tagged(tag)));
    let others = image.cache_images.iter().chain(&image.cache_image).cloned();
    of_repository.chain(others).collect()
}

/// A path in the checkout so that the command cannot take it for an address to fetch from.
fn here(path: &str) -> String {
    format!("./{path}")
}

/// `text` as one word of a POSIX shell, on one line: the runner splits the commands at line ends.
fn quoted(text: &str) -> String {
    let word = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    if !text.contains(['\n', '\r']) {
        return word(text);
    }
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    // The shell takes line ends at the very end away.
    format!("\"$(printf '%b' {})\"", word(&escaped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Stands in for the command: it shows its arguments, and answers as the engine does.
    const DOCKER: &str = r#"
docker() {
    { printf 'docker'; printf ' <%s>' "$@"; printf '\n'; } >&2
    case "$1 $2" in
        push*) printf 'The push refers to x\nv1: digest: sha256:0a1b size: 527\n' ;;
        'image inspect') echo 1234 ;;
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

    /// What the lines do in a shell, line by line; the arguments of `docker` and the output.
    fn run(shell: &str, commands: &str) -> (String, String) {
        let script = format!("set -e\n{DOCKER}\n{commands}\n");
        let output = Command::new(shell)
            .args(["-c", &script])
            .env(password_variable(0), "secret")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, called) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{said}\n{called}");
        (said, called)
    }

    #[test]
    fn nothing_in_a_spec_leaves_its_word() {
        let mut image = image();
        let hostile = "'; rm -rf /\n$(id) \\n %s\r\n\tx";
        image.args.insert("X".to_owned(), hostile.to_owned());
        image.target = Some("it's".to_owned());
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[login()], &mark);
        assert!(!text.contains("secret"));
        for shell in ["sh", "bash"] {
            let (_, called) = run(shell, &text);
            let called = called.split(" <slipway-job:42-").next().unwrap();
            assert_eq!(
                called,
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
    fn every_tag_is_pushed_and_the_last_line_tells_of_the_image() {
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image(), &[], &mark);
        assert!(!text.contains("DOCKER_CONFIG"));
        let (said, called) = run("sh", &text);
        let last = said.lines().last().unwrap();
        assert_eq!(last, mark.line("sha256:0a1b", "1234"));
        for tag in ["v1", "main"] {
            let pushed = format!("docker <push> <localhost:5000/acme/api:{tag}>");
            assert!(called.contains(&pushed), "{called}");
        }
    }

    #[test]
    fn layers_are_taken_from_the_image_of_the_branch() {
        let image = ImageBuild {
            cache_tag: Some("side".to_owned()),
            fallback_cache_tag: Some("main".to_owned()),
            ..image()
        };
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[], &mark);
        let (_, called) = run("sh", &text);
        let words = "<--cache-from> <localhost:5000/acme/api:side> \
                     <--cache-from> <localhost:5000/acme/api:main> <--build-arg> <BUILDKIT_INLINE_CACHE=1>";
        assert!(called.contains(words), "{called}");
    }

    #[test]
    fn an_image_that_goes_nowhere_is_built_and_thrown_away() {
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &ImageBuild::default(), &[], &mark);
        let (said, called) = run("sh", &text);
        assert_eq!(said, "");
        assert!(called.starts_with("docker <build> "), "{called}");
        assert!(!called.contains("push"), "{called}");
    }

    #[test]
    fn what_a_build_asks_of_the_command_is_asked() {
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
        let (said, called) = run("sh", &text);
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
            assert!(called.contains(&words), "{words}: {called}");
        }
        // What is pushed for others is not what the last line tells of.
        assert_eq!(
            said.lines().last().unwrap(),
            mark.line("sha256:0a1b", "1234")
        );
    }

    #[test]
    fn a_secret_that_the_project_does_not_have_ends_the_shell() {
        let mut image = image();
        let missing = "NOT_A_VARIABLE_OF_ANYBODY".to_owned();
        image.secrets.insert("token".to_owned(), missing);
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[], &mark);
        let script = format!("set -e\n{DOCKER}\n{text}\n");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(said.contains("is not a variable of the project"), "{said}");
        assert!(!said.contains("docker <build>"), "{said}");
    }

    #[test]
    fn the_time_of_the_commit_is_asked_of_git() {
        let image = ImageBuild {
            source_date: Some(SourceDate::Commit),
            ..image()
        };
        let mark = ImageMarker::from_entropy(&[7; 20]);
        let text = text_of(JobId(42), &image, &[], &mark);
        let (_, called) = run("sh", &format!("git() {{ echo 1700000000; }}\n{text}"));
        let words = "<--build-arg> <SOURCE_DATE_EPOCH=1700000000>";
        assert!(called.contains(words), "{called}");
    }
}
