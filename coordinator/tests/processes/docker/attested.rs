//! The documents about an image: files of its job, and attached to it in the registry.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::SHELL;

use super::{Yard, files, one_job, var};
use crate::farm::{finished, trace_of};

const STATUS: &str =
    "Package: curl\nStatus: install ok installed\nVersion: 7.88.1-10\nArchitecture: amd64\n";
const SECRET: &str = "hunter2-and-more";

impl Yard {
    /// What the registry has at a path of the repository.
    async fn of_registry(&self, path: &str, accept: &str) -> reqwest::Response {
        let (registry, name) = self.repository.split_once('/').unwrap();
        let user = var("SLIPWAY_TEST_AUTH_REGISTRY_USER");
        let password = var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD");
        reqwest::Client::new()
            .get(format!("http://{registry}/v2/{name}/{path}"))
            .header("Accept", accept)
            .basic_auth(user, Some(password))
            .send()
            .await
            .unwrap()
    }

    /// The same as JSON.
    async fn json_of_registry(&self, path: &str, accept: &str) -> Value {
        let answer = self.of_registry(path, accept).await;
        assert_eq!(answer.status(), 200, "{path}");
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_pushed_image_says_what_is_in_it_and_how_it_was_made() {
    let yard = Yard::bare().await;
    let _runner = yard.farm.runner_with("runner", &["--attest", "all"]);
    let secret = json!({"value": SECRET, "public": false});
    let path = "/v1/projects/acme/api/variables/PASSWORD";
    yard.farm.api(Method::PUT, path, Some(secret)).await;
    let spec = json!({"kind": "image_build", "args": {"SAID": format!("it is {SECRET}")}});
    yard.pipeline(json!([one_job("image", spec)])).await;
    let dockerfile = format!("{SHELL}COPY status /var/lib/dpkg/status\n");
    let sha = yard
        .repo
        .commit(&[("Dockerfile", &dockerfile), ("status", STATUS)], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
    let job = done["jobs"][0]["id"].as_i64().unwrap();
    let trace = trace_of(&yard.farm, &done["jobs"][0]).await;
    assert_eq!(done["state"], "succeeded", "{trace}");
    assert!(!trace.contains("Warning"), "{trace}");

    let files = files(&yard.farm, job).await;
    let mut documents = Vec::new();
    for file_type in ["provenance", "sbom"] {
        let file = files.iter().find(|file| file["file_type"] == file_type);
        let file = file.unwrap_or_else(|| panic!("no {file_type}: {files:#?}\n{trace}"));
        let path = format!("/v1/artifacts/{}/content", file["id"]);
        let bytes = yard.farm.bytes(&path).await;
        let text = String::from_utf8(bytes).unwrap();
        for hidden in [SECRET, &var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD")] {
            assert!(!text.contains(hidden), "{text}");
        }
        documents.push(text);
    }
    let provenance: Value = serde_json::from_str(&documents[0]).unwrap();
    let digest = yard.digest_of(&sha).await;
    let hex = digest.strip_prefix("sha256:").unwrap();
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], hex);
    assert_eq!(provenance["subject"][0]["name"], yard.repository.as_str());
    let definition = &provenance["predicate"]["buildDefinition"];
    let said = &definition["externalParameters"]["spec"]["args"]["SAID"];
    assert_eq!(said, "it is [MASKED]");
    assert_eq!(
        definition["resolvedDependencies"],
        json!([{"uri": format!("git+{}", yard.repo.url()), "digest": {"gitCommit": sha}}])
    );
    let details = &provenance["predicate"]["runDetails"];
    let invocation = format!("{build}/{job}");
    assert_eq!(details["metadata"]["invocationId"], invocation.as_str());
    let sbom: Value = serde_json::from_str(&documents[1]).unwrap();
    let url = &sbom["packages"][1]["externalRefs"][0]["referenceLocator"];
    assert_eq!(url, "pkg:deb/debian/curl@7.88.1-10?arch=amd64", "{sbom:#}");

    // The registry lists nothing attached by itself.
    let index = yard
        .json_of_registry(
            &format!("manifests/sha256-{hex}"),
            "application/vnd.oci.image.index.v1+json",
        )
        .await;
    let kinds = ["application/vnd.in-toto+json", "application/spdx+json"];
    for (place, kind) in kinds.into_iter().enumerate() {
        let entry = &index["manifests"][place];
        assert_eq!(entry["artifactType"], kind, "{index:#}");
        let own = entry["digest"].as_str().unwrap();
        let manifest = yard
            .json_of_registry(
                &format!("manifests/{own}"),
                "application/vnd.oci.image.manifest.v1+json",
            )
            .await;
        assert_eq!(manifest["artifactType"], kind, "{manifest:#}");
        assert_eq!(manifest["subject"]["digest"], digest.as_str());
        let blob = manifest["layers"][0]["digest"].as_str().unwrap();
        let blob = yard.of_registry(&format!("blobs/{blob}"), "*/*").await;
        assert_eq!(blob.text().await.unwrap(), documents[place]);
    }
}

#[tokio::test]
async fn a_runner_that_is_told_so_makes_no_documents() {
    let yard = Yard::bare().await;
    let _runner = yard.farm.runner_with("runner", &["--attest", "none"]);
    let sha = yard.repo.commit(&[("Dockerfile", SHELL)], "one");
    let build = yard.build(json!({ "ref": "main" })).await;
    let done = finished(&yard.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let job = done["jobs"][0]["id"].as_i64().unwrap();
    assert_eq!(files(&yard.farm, job).await, Vec::<Value>::new());
    let tag = yard.digest_of(&sha).await.replace(':', "-");
    assert!(!yard.has_tag(&tag).await);
}
