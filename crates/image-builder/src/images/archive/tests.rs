//! Archives as engines write them, renamed.

use flate2::read::GzDecoder;

use super::*;

/// A tar archive with these files.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, text.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

/// The names and texts of the files in an archive.
fn files(archive: &[u8]) -> Vec<(String, String)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    });
    entries.collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

const LIST: &str = r#"[{"Config":"c.json","RepoTags":["slipway-job:1"],"Layers":["a/layer.tar"]}]"#;

#[test]
fn a_renamed_image_has_exactly_the_new_names() {
    let long = format!("{}/layer.tar", "long".repeat(40));
    let index = r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:1","annotations":{"io.containerd.image.name":"docker.io/library/slipway-job:1","other":"stays"}}]}"#;
    let exported = archive(&[
        (&long, "layer"),
        (MANIFEST, LIST),
        (INDEX, index),
        (REPOSITORIES, r#"{"slipway-job":{"1":"x"}}"#),
        ("c.json", "{}"),
    ]);
    let new_names = names(&["api:v1", "acme/api:v2", "r.example/acme/api:v3"]);
    let renamed = files(&rename(&*exported, &new_names, Vec::new()).unwrap());
    let found: Vec<&str> = renamed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, [&long, MANIFEST, INDEX, "c.json"]);
    assert_eq!(renamed[0].1, "layer");
    let manifest: Value = serde_json::from_str(&renamed[1].1).unwrap();
    assert_eq!(manifest[0]["RepoTags"], json!(new_names));
    assert_eq!(manifest[0]["Layers"], json!(["a/layer.tar"]));
    let index: Value = serde_json::from_str(&renamed[2].1).unwrap();
    let annotation = |at: usize, name: &str| index["manifests"][at]["annotations"][name].clone();
    for (at, name, tag) in [
        (0, "docker.io/library/api:v1", "v1"),
        (1, "docker.io/acme/api:v2", "v2"),
        (2, "r.example/acme/api:v3", "v3"),
    ] {
        assert_eq!(annotation(at, NAME_ANNOTATION), name);
        assert_eq!(annotation(at, TAG_ANNOTATION), tag);
        assert_eq!(annotation(at, "other"), "stays");
        assert_eq!(index["manifests"][at]["digest"], "sha256:1");
    }
    assert_eq!(index["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(index["schemaVersion"], 2);
}

#[test]
fn an_archive_without_a_list_of_images_is_refused() {
    let exported = archive(&[("c.json", "{}")]);
    let error = rename(&*exported, &names(&["api:v1"]), Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn an_archive_that_reaches_its_limit_fails() {
    let exported = archive(&[(MANIFEST, LIST), ("c.json", "{}")]);
    let write = |limit| {
        let mut written = Vec::new();
        let size = write_renamed(&*exported, &names(&["api:v1"]), &mut written, limit);
        size.map(|size| (size, written))
    };
    let (size, written) = write(None).unwrap();
    assert_eq!(size, written.len() as u64);
    let mut unpacked = Vec::new();
    GzDecoder::new(&*written)
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(files(&unpacked).len(), 2);
    assert_eq!(write(Some(size + 1)).unwrap().0, size);
    let error = write(Some(size)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileTooLarge);
}
