//! What the routes of the matrix refer to, and one credential of each kind.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use crate::trials::farm::Farm;
use crate::trials::http::{Http, until_answered};

const SHA: &str = "9b1d6c0c4f1f4f0e8f1b2c3d4e5f60718293a4b5";
const SCOPES: [&str; 5] = ["identity", "namespaces", "read", "write", "admin"];
pub(super) const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\
                    Content-Type: application/octet-stream\r\n\r\nzip\r\n--b--\r\n";

/// Values for the placeholders of paths, and credentials by kind.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) values: BTreeMap<&'static str, String>,
    pub(super) credentials: BTreeMap<String, String>,
}

/// Creates a project with users of every role, runners and jobs; and another project.
pub(super) async fn create(farm: &Farm, http: &Http) -> Result<Targets> {
    let mut targets = Targets::default();
    let builder = Builder { http };
    targets.values.extend([
        ("ns", "acme".to_owned()),
        ("org", "acme".to_owned()),
        ("name", "api".to_owned()),
        ("pipeline", "api".to_owned()),
        ("slug", "default".to_owned()),
        ("user", "reader".to_owned()),
        ("sha", SHA.to_owned()),
    ]);
    for namespace in ["acme", "other"] {
        let body = json!({"name": namespace});
        builder.admin("POST", "/v1/namespaces", body).await?;
        let project = json!({
            "namespace": namespace, "name": "api", "repo_url": "http://127.0.0.1:1/none.git",
        });
        builder.admin("POST", "/v1/projects", project).await?;
    }
    builder.people(&mut targets).await?;
    targets
        .credentials
        .insert("garbage".to_owned(), "x".repeat(20));
    let registration = farm.secret("registration-token")?;
    let registration = ("registration".to_owned(), registration);
    targets.credentials.extend([registration]);
    targets
        .credentials
        .insert("admin".to_owned(), farm.secret("admin-token")?);
    builder.runners_and_jobs(&mut targets).await?;
    builder.rest(&mut targets).await?;
    Ok(targets)
}

struct Builder<'a> {
    http: &'a Http,
}

impl Builder<'_> {
    /// Sends a request of the administrator, which must succeed.
    async fn admin(&self, method: &str, path: &str, body: Value) -> Result<Value> {
        let method: Method = method.parse()?;
        let reply = self.http.send(method, path, &body).await?;
        let succeeded = (200..300).contains(&reply.status);
        ensure!(succeeded, "{path}: {reply:?}");
        Ok(reply.json())
    }

    /// Creates a token, and returns its row.
    async fn token(&self, user: &str, scopes: &[&str]) -> Result<Value> {
        let body = json!({"name": "attack", "scopes": scopes});
        self.admin("POST", &format!("/v1/users/{user}/tokens"), body)
            .await
    }

    /// One user of each role; and tokens of an owner with a single scope, and without effect.
    async fn people(&self, targets: &mut Targets) -> Result<()> {
        let project = "/v1/projects/acme/api/members";
        for (user, folder, role) in [
            ("reader", project, "reader"),
            ("developer", project, "developer"),
            ("maintainer", project, "maintainer"),
            ("owner", project, "owner"),
            ("blocked-owner", project, "owner"),
            ("namespace-owner", "/v1/namespaces/acme/members", "owner"),
            ("owner-elsewhere", "/v1/namespaces/other/members", "owner"),
            ("outsider", "", ""),
        ] {
            self.admin("POST", "/v1/users", json!({"name": user}))
                .await?;
            let token = self.token(user, &SCOPES).await?;
            targets
                .credentials
                .insert(user.to_owned(), text(&token, "token")?);
            if !folder.is_empty() {
                let path = format!("{folder}/{user}");
                self.admin("PUT", &path, json!({"role": role})).await?;
            }
        }
        let blocked = json!({"active": false});
        self.admin("PATCH", "/v1/users/blocked-owner", blocked)
            .await?;
        for scope in SCOPES {
            let token = self.token("owner", &[scope]).await?;
            let kind = format!("owner-scope-{scope}");
            targets.credentials.insert(kind, text(&token, "token")?);
        }
        let token = self.token("root", &["read"]).await?;
        let kind = "admin-scope-read".to_owned();
        targets.credentials.insert(kind, text(&token, "token")?);
        let revoked = self.token("owner", &SCOPES).await?;
        let path = format!("/v1/tokens/{}", revoked["id"]);
        self.admin("DELETE", &path, json!({})).await?;
        targets
            .credentials
            .insert("revoked".to_owned(), text(&revoked, "token")?);
        let token = self.token("reader", &["read"]).await?;
        targets.values.insert("token_id", token["id"].to_string());
        Ok(())
    }

    async fn runners_and_jobs(&self, targets: &mut Targets) -> Result<()> {
        for (namespace, prefix) in [("acme", ""), ("other", "other-")] {
            let path = format!("/v1/projects/{namespace}/api/registration-tokens");
            let body = json!({"description": "attack", "single_use": false});
            let registration = self.admin("POST", &path, body).await?;
            let token = text(&registration, "token")?;
            let runner = self
                .runner(
                    "POST",
                    "/ci/api/v1/runners/register",
                    json!({"token": token}),
                )
                .await?;
            let runner_token = text(&runner, "token")?;
            if prefix.is_empty() {
                let id = registration["id"].to_string();
                targets.values.insert("registration_id", id);
                targets.values.insert("runner", runner["id"].to_string());
                let (id, token) = self.job(namespace, &runner_token).await?;
                self.finish(&id, &token, &runner_token).await?;
                targets.values.insert("done_job", id);
                targets.credentials.insert("finished-job".to_owned(), token);
            }
            let (id, job_token) = self.job(namespace, &runner_token).await?;
            if prefix.is_empty() {
                targets.values.insert("job", id);
            }
            let kind = if prefix.is_empty() {
                "project-"
            } else {
                prefix
            };
            targets.credentials.extend([
                (format!("{kind}registration"), token),
                (format!("{prefix}runner"), runner_token),
                (format!("{prefix}job"), job_token),
            ]);
        }
        Ok(())
    }

    /// Sends a request of a runner, which must succeed.
    async fn runner(&self, method: &str, path: &str, mut body: Value) -> Result<Value> {
        body["info"] =
            json!({"name": "gitlab-ci-multi-runner", "version": "1.11.2", "features": {}});
        let method: Method = method.parse()?;
        let reply = until_answered(|| self.http.plain(method.clone(), path).json(&body)).await?;
        let succeeded = [200, 201].contains(&reply.status);
        ensure!(succeeded, "{path}: {reply:?}");
        Ok(reply.json())
    }

    /// Creates a build and claims its job; returns the job's id and token.
    async fn job(&self, namespace: &str, runner: &str) -> Result<(String, String)> {
        let path = format!("/v1/projects/{namespace}/api/builds");
        self.admin("POST", &path, json!({"sha": SHA})).await?;
        let claim = json!({"token": runner});
        let job = self
            .runner("POST", "/ci/api/v1/builds/register", claim)
            .await?;
        Ok((job["id"].to_string(), text(&job, "token")?))
    }

    /// Uploads a trace and an archive, and ends the job.
    async fn finish(&self, job: &str, token: &str, runner: &str) -> Result<()> {
        let base = format!("/ci/api/v1/builds/{job}");
        let trace = || {
            let request = self.http.plain(Method::PATCH, &format!("{base}/trace.txt"));
            let request = request.header("BUILD-TOKEN", token);
            request.header("Content-Range", "0-2").body("hi")
        };
        let reply = until_answered(trace).await?;
        ensure!(reply.status == 202, "{reply:?}");
        let archive = || {
            let request = self.http.plain(Method::POST, &format!("{base}/artifacts"));
            let request = request.header("BUILD-TOKEN", token);
            let request = request.header("Content-Type", "multipart/form-data; boundary=b");
            request.body(FORM)
        };
        let reply = until_answered(archive).await?;
        ensure!(reply.status == 201, "{reply:?}");
        let report = json!({"token": runner, "state": "success"});
        let reply = until_answered(|| self.http.plain(Method::PUT, &base).json(&report)).await?;
        ensure!(reply.status == 200, "{reply:?}");
        Ok(())
    }

    /// What else the paths name, and the remaining kinds of tokens.
    async fn rest(&self, targets: &mut Targets) -> Result<()> {
        let get = async |path: String| Ok::<_, anyhow::Error>(self.http.get(&path).await?.json());
        let job = get(format!("/v1/jobs/{}", targets.values["job"])).await?;
        let build = text(&job, "build")?;
        let done = get(format!("/v1/jobs/{}", targets.values["done_job"])).await?;
        let done_build = text(&done, "build")?;
        let shown = get(format!("/v1/builds/{build}")).await?;
        let number = shown["number"].to_string();
        let artifacts = get(format!("/v1/jobs/{}/artifacts", targets.values["done_job"])).await?;
        let project = get("/v1/projects/acme/api".to_owned()).await?["id"].to_string();
        let v3 = get(format!("/api/v3/projects/{project}")).await?;
        let pipelines = get(format!("/api/v3/projects/{project}/pipelines")).await?;
        let users = get("/v1/users".to_owned()).await?;
        let users = users["items"].as_array().context("no users")?;
        let reader = users.iter().find(|user| user["name"] == "reader");
        let trigger = self
            .admin(
                "POST",
                "/v1/projects/acme/api/triggers",
                json!({"description": "attack"}),
            )
            .await?;
        let variable = json!({"value": "value", "public": true});
        let path = "/v1/projects/acme/api/variables/KEY";
        self.admin("PUT", path, variable).await?;
        let builds = format!("/api/v0/organizations/acme/pipelines/api/builds/{number}");
        let owner = targets.credentials["namespace-owner"].clone();
        let own = async |path: String| {
            let request = || {
                let request = self.http.plain(Method::GET, &path);
                request.header("Authorization", format!("Bearer {owner}"))
            };
            Ok::<_, anyhow::Error>(until_answered(request).await?.json())
        };
        let log_token = own(format!("{builds}/log-token")).await?;
        let jobs = own(format!("{builds}/jobs")).await?;
        targets.credentials.extend([
            ("log-token".to_owned(), text(&log_token, "token")?),
            ("runners-token".to_owned(), text(&v3, "runners_token")?),
            ("trigger".to_owned(), text(&trigger, "token")?),
        ]);
        targets.values.extend([
            ("build", build),
            ("done_build", done_build),
            ("number", number),
            ("artifact", artifacts["items"][0]["id"].to_string()),
            ("project_id", project),
            ("pipeline_id", pipelines[0]["id"].to_string()),
            ("user_id", reader.context("no reader")?["id"].to_string()),
            ("trigger", trigger["id"].to_string()),
            ("trigger_token", text(&trigger, "token")?),
            ("job_uuid", text(&jobs["data"][0], "id")?),
        ]);
        Ok(())
    }
}

fn text(value: &Value, member: &str) -> Result<String> {
    let text = value[member].as_str();
    Ok(text
        .with_context(|| format!("{member} is missing in {value}"))?
        .to_owned())
}
