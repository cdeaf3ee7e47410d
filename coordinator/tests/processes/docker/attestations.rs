//! Attestations of a pushed image: artifacts of its job, attached to the image in the registry.

use reqwest::Method;
use serde_json::{Value, json};
use slipway_test_engine::SHELL;

use super::{Fixture, files, one_job, var};
use crate::farm::{trace_of, wait_until_finished};

const STATUS: &str =
    "Package: curl\nStatus: install ok installed\nVersion: 7.88.1-10\nArchitecture: amd64\n";
const SECRET: &str = "hunter2-and-more";

impl Fixture {
    /// Fetches a path of the repository from the registry.
    async fn fetch_from_registry(&self, path: &str, accept: &str) -> reqwest::Response {
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

    /// Fetches a path of the repository as JSON.
    async fn fetch_json_from_registry(&self, path: &str, accept: &str) -> Value {
        let answer = self.fetch_from_registry(path, accept).await;
        assert_eq!(answer.status(), 200, "{path}");
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn pushed_image_has_provenance_and_package_list() {
    let fixture = Fixture::bare().await;
    let _runner = fixture.farm.runner_with("runner", &["--attest", "all"]);
    let secret = json!({"value": SECRET, "public": false});
    let path = "/v1/projects/acme/api/variables/PASSWORD";
    fixture.farm.api(Method::PUT, path, Some(secret)).await;
    let spec = json!({"kind": "image_build", "args": {"SAID": format!("it is {SECRET}")}});
    fixture.set_pipeline(json!([one_job("image", spec)])).await;
    let dockerfile = format!("{SHELL}COPY status /var/lib/dpkg/status\n");
    let sha = fixture
        .repo
        .commit(&[("Dockerfile", &dockerfile), ("status", STATUS)], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    let job = done["jobs"][0]["id"].as_i64().unwrap();
    let trace = trace_of(&fixture.farm, &done["jobs"][0]).await;
    assert_eq!(done["state"], "succeeded", "{trace}");
    assert!(!trace.contains("Warning"), "{trace}");

    let files = files(&fixture.farm, job).await;
    let mut documents = Vec::new();
    for file_type in ["provenance", "sbom"] {
        let file = files.iter().find(|file| file["file_type"] == file_type);
        let file = file.unwrap_or_else(|| panic!("no {file_type}: {files:#?}\n{trace}"));
        let path = format!("/v1/artifacts/{}/content", file["id"]);
        let bytes = fixture.farm.bytes(&path).await;
        let text = String::from_utf8(bytes).unwrap();
        for hidden in [SECRET, &var("SLIPWAY_TEST_AUTH_REGISTRY_PASSWORD")] {
            assert!(!text.contains(hidden), "{text}");
        }
        documents.push(text);
    }
    let provenance: Value = serde_json::from_str(&documents[0]).unwrap();
    let digest = fixture.digest_of(&sha).await;
    let hex = digest.strip_prefix("sha256:").unwrap();
    assert_eq!(provenance["subject"][0]["digest"]["sha256"], hex);
    assert_eq!(
        provenance["subject"][0]["name"],
        fixture.repository.as_str()
    );
    let definition = &provenance["predicate"]["buildDefinition"];
    let said = &definition["externalParameters"]["spec"]["args"]["SAID"];
    assert_eq!(said, "it is [MASKED]");
    assert_eq!(
        definition["resolvedDependencies"],
        json!([{"uri": format!("git+{}", fixture.repo.url()), "digest": {"gitCommit": sha}}])
    );
    let details = &provenance["predicate"]["runDetails"];
    let invocation = format!("{build}/{job}");
    assert_eq!(details["metadata"]["invocationId"], invocation.as_str());
    let sbom: Value = serde_json::from_str(&documents[1]).unwrap();
    let url = &sbom["packages"][1]["externalRefs"][0]["referenceLocator"];
    assert_eq!(url, "pkg:deb/debian/curl@7.88.1-10?arch=amd64", "{sbom:#}");

    // This registry has no referrers API, so the fallback tag lists them.
    let index = fixture
        .fetch_json_from_registry(
            &format!("manifests/sha256-{hex}"),
            "application/vnd.oci.image.index.v1+json",
        )
        .await;
    let kinds = ["application/vnd.in-toto+json", "application/spdx+json"];
    for (farm_dir, kind) in kinds.into_iter().enumerate() {
        let entry = &index["manifests"][farm_dir];
        assert_eq!(entry["artifactType"], kind, "{index:#}");
        let own = entry["digest"].as_str().unwrap();
        let manifest = fixture
            .fetch_json_from_registry(
                &format!("manifests/{own}"),
                "application/vnd.oci.image.manifest.v1+json",
            )
            .await;
        assert_eq!(manifest["artifactType"], kind, "{manifest:#}");
        assert_eq!(manifest["subject"]["digest"], digest.as_str());
        let blob = manifest["layers"][0]["digest"].as_str().unwrap();
        let blob = fixture
            .fetch_from_registry(&format!("blobs/{blob}"), "*/*")
            .await;
        assert_eq!(blob.text().await.unwrap(), documents[farm_dir]);
    }
}

#[tokio::test]
async fn runner_with_attest_none_writes_no_attestations() {
    let fixture = Fixture::bare().await;
    let _runner = fixture.farm.runner_with("runner", &["--attest", "none"]);
    let sha = fixture.repo.commit(&[("Dockerfile", SHELL)], "one");
    let build = fixture.build(json!({ "ref": "main" })).await;
    let done = wait_until_finished(&fixture.farm, &build).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    let job = done["jobs"][0]["id"].as_i64().unwrap();
    assert_eq!(files(&fixture.farm, job).await, Vec::<Value>::new());
    let tag = fixture.digest_of(&sha).await.replace(':', "-");
    assert!(!fixture.has_tag(&tag).await);
}
