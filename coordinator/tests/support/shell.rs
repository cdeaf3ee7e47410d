//! What stock runners with the shell executor have in common: the shell, how they write scripts for
//! it, and how they pack what is left.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::Stdio;

use reqwest::Body;
use serde_json::Value;
use tokio::process::Command;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A login shell in `dir` that reads a script from its standard input, as the executor starts it.
pub(crate) fn login_shell(dir: &Path, temporary: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["--login", "-c", "exec bash 2>&1"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir.join("home"))
        .env("TMPDIR", temporary)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The script that runs these lines and ends with the first that fails.
pub(crate) fn finished(script: &str) -> String {
    let script = escaped(script);
    format!(
        "#!/usr/bin/env bash\n\nset -eo pipefail\nset +o noclobber\n: | eval {script}\nexit 0\n"
    )
}

/// A word of bash, in the form that the runner gives each.
pub(crate) fn escaped(text: &str) -> String {
    let mut word = "$'".to_owned();
    for byte in text.bytes() {
        match byte {
            b'\n' => word.push_str("\\n"),
            b'\'' | b'\\' => word.extend(['\\', char::from(byte)]),
            b' '..=b'~' => word.push(char::from(byte)),
            _ => write!(word, "\\x{byte:02X}").unwrap(),
        }
    }
    word.push('\'');
    word
}

/// An archive of the paths, of which each is a file or a directory here, as it is sent: chunked.
pub(crate) fn packed(project: &Path, paths: &Value) -> Body {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for path in paths.as_array().unwrap() {
        let path = path.as_str().unwrap().trim_end_matches('/');
        add(&mut zip, project, path);
    }
    let bytes = zip.finish().unwrap().into_inner();
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        bytes.chunks(1000).map(|piece| Ok(piece.to_vec())).collect();
    Body::wrap_stream(futures_util::stream::iter(pieces))
}

fn add(zip: &mut ZipWriter<Cursor<Vec<u8>>>, project: &Path, path: &str) {
    let on_disk = project.join(path);
    if on_disk.is_dir() {
        let mut names: Vec<_> = on_disk.read_dir().unwrap().flatten().collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let name = entry.file_name().into_string().unwrap();
            add(zip, project, &format!("{path}/{name}"));
        }
    } else if on_disk.is_file() {
        zip.start_file(path, SimpleFileOptions::default()).unwrap();
        zip.write_all(&std::fs::read(on_disk).unwrap()).unwrap();
    }
}
