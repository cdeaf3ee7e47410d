//! The shell executor of both scripted runners: the shell, the scripts for it, and the archives that
//! they upload and download.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use reqwest::Body;
use serde_json::Value;
use tokio::process::Command;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// A login shell that reads a script from standard input, started as the stock executor starts it.
/// `HOME` and the working directory are inside `dir`.
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

/// Wraps lines into a script that stops at the first failing one.
pub(crate) fn complete_script(script: &str) -> String {
    let script = escaped(script);
    format!(
        "#!/usr/bin/env bash\n\nset -eo pipefail\nset +o noclobber\n: | eval {script}\nexit 0\n"
    )
}

/// Quotes a word for bash in the form that stock runners use.
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

/// Packs paths of `project`, each a file or a directory, into a zip archive and returns it as a
/// chunked body.
pub(crate) fn zipped(project: &Path, paths: &Value) -> Body {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for path in paths.as_array().unwrap() {
        let path = path.as_str().unwrap().trim_end_matches('/');
        add(&mut zip, project, path);
    }
    let bytes = zip.finish().unwrap().into_inner();
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        bytes.chunks(1000).map(|chunk| Ok(chunk.to_vec())).collect();
    Body::wrap_stream(futures_util::stream::iter(chunks))
}

/// Exports the variables of a job. Where a key repeats, the last value wins.
pub(crate) fn exported_variables(job: &Value) -> String {
    let mut script = String::new();
    for variable in job["variables"].as_array().unwrap() {
        let (key, value) = (&variable["key"], &variable["value"]);
        let (key, value) = (key.as_str().unwrap(), value.as_str().unwrap());
        writeln!(script, "export {}={}", escaped(key), escaped(value)).unwrap();
    }
    script
}

/// Unpacks a downloaded zip archive into `project`.
pub(crate) fn unzip(archive: Bytes, project: &Path) {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    archive.extract(project).unwrap();
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
