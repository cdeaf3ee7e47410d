//! One method for each operation of the API.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::types::{
    Artifact, Build, BuildFilter, CreatedToken, CurrentUser, DeployKey, Job, JobPendingReason,
    Member, Namespace, NewBuild, NewDeployKey, NewProject, Page, PageRequest, Pipeline, Project,
    QueueLine, RegistryCredential, Runner, RunnerChange, User, Variable,
};
use crate::{Client, ClientError};

type Result<T> = std::result::Result<T, ClientError>;

/// Users and tokens.
impl Client {
    /// The calling user.
    pub async fn current_user(&self) -> Result<CurrentUser> {
        self.get(&["user"]).await
    }

    /// All users. Only for administrators.
    pub async fn users(&self, page: &PageRequest) -> Result<Page<User>> {
        self.page(&["users"], page).await
    }

    /// Creates a user. Only for administrators.
    pub async fn create_user(&self, name: &str, admin: bool) -> Result<User> {
        let body = json!({"name": name, "admin": admin});
        self.post(&["users"], &body).await
    }

    /// Sets the password of the calling user. `old` is the current one, if there is one.
    pub async fn change_password(&self, old: Option<&str>, new: &str) -> Result<()> {
        let body = json!({"old": old, "new": new});
        self.put_without_response(&["user", "password"], &body)
            .await
    }

    /// Sets the password of another user. Only for administrators.
    pub async fn set_password(&self, user: &str, new: &str) -> Result<()> {
        let body = json!({"new": new});
        self.put_without_response(&["users", user, "password"], &body)
            .await
    }

    async fn put_without_response(&self, path: &[&str], body: &serde_json::Value) -> Result<()> {
        let request = self.request(Method::PUT, path).json(body);
        self.send(request).await.map(drop)
    }

    /// Creates a personal access token for the calling user.
    pub async fn create_token(&self, name: &str, scopes: &[&str]) -> Result<CreatedToken> {
        let body = json!({"name": name, "scopes": scopes});
        self.post(&["tokens"], &body).await
    }

    /// Creates a personal access token for any user. Only for administrators.
    pub async fn create_token_for(
        &self,
        user: &str,
        name: &str,
        scopes: &[&str],
    ) -> Result<CreatedToken> {
        let body = json!({"name": name, "scopes": scopes});
        self.post(&["users", user, "tokens"], &body).await
    }

    /// Revokes a personal access token.
    pub async fn revoke_token(&self, id: i64) -> Result<()> {
        self.delete(&["tokens", &id.to_string()]).await
    }

    /// Revokes all credentials of the calling user, or of another user, which is only for
    /// administrators.
    pub async fn revoke_credentials(&self, user: Option<&str>) -> Result<()> {
        match user {
            Some(user) => self.delete(&["users", user, "tokens"]).await,
            None => self.delete(&["tokens"]).await,
        }
    }

    /// Creates a registration token for shared runners. Only for administrators.
    pub async fn create_registration_token(
        &self,
        description: &str,
        single_use: bool,
    ) -> Result<CreatedToken> {
        let body = json!({"description": description, "single_use": single_use});
        self.post(&["registration-tokens"], &body).await
    }

    /// Creates a registration token for runners of one project.
    pub async fn create_project_registration_token(
        &self,
        namespace: &str,
        name: &str,
        description: &str,
        single_use: bool,
    ) -> Result<CreatedToken> {
        let body = json!({"description": description, "single_use": single_use});
        let path = ["projects", namespace, name, "registration-tokens"];
        self.post(&path, &body).await
    }
}

/// Namespaces and projects.
impl Client {
    /// The namespaces of which the calling user is a member.
    pub async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        self.page(&["namespaces"], page).await
    }

    /// Creates a namespace.
    pub async fn create_namespace(&self, name: &str) -> Result<Namespace> {
        self.post(&["namespaces"], &json!({"name": name})).await
    }

    /// Gives a user a role in a namespace.
    pub async fn set_namespace_member(
        &self,
        namespace: &str,
        user: &str,
        role: &str,
    ) -> Result<Member> {
        let path = ["namespaces", namespace, "members", user];
        self.put(&path, &json!({"role": role})).await
    }

    /// The projects that the calling user may see.
    pub async fn projects(&self, page: &PageRequest) -> Result<Page<Project>> {
        self.page(&["projects"], page).await
    }

    /// A project.
    pub async fn project(&self, namespace: &str, name: &str) -> Result<Project> {
        self.get(&["projects", namespace, name]).await
    }

    /// Creates a project.
    pub async fn create_project(&self, project: &NewProject) -> Result<Project> {
        self.post(&["projects"], project).await
    }

    /// Deletes a project with its builds, traces and artifacts.
    pub async fn delete_project(&self, namespace: &str, name: &str) -> Result<()> {
        self.delete(&["projects", namespace, name]).await
    }

    /// Gives a user a role in a project.
    pub async fn set_project_member(
        &self,
        namespace: &str,
        name: &str,
        user: &str,
        role: &str,
    ) -> Result<Member> {
        let path = ["projects", namespace, name, "members", user];
        self.put(&path, &json!({"role": role})).await
    }

    /// The deploy key of a project.
    pub async fn deploy_key(&self, namespace: &str, name: &str) -> Result<DeployKey> {
        self.get(&["projects", namespace, name, "deploy-key"]).await
    }

    /// Sets the deploy key of a project.
    pub async fn set_deploy_key(
        &self,
        namespace: &str,
        name: &str,
        new: &NewDeployKey,
    ) -> Result<DeployKey> {
        self.put(&["projects", namespace, name, "deploy-key"], new)
            .await
    }

    /// Deletes the deploy key of a project.
    pub async fn delete_deploy_key(&self, namespace: &str, name: &str) -> Result<()> {
        self.delete(&["projects", namespace, name, "deploy-key"])
            .await
    }

    /// The variables of a project.
    pub async fn variables(&self, namespace: &str, name: &str) -> Result<Page<Variable>> {
        self.get(&["projects", namespace, name, "variables"]).await
    }

    /// Sets a variable of a project.
    pub async fn set_variable(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
        value: &str,
        public: bool,
    ) -> Result<Variable> {
        let path = ["projects", namespace, name, "variables", key];
        let body = json!({"value": value, "public": public});
        self.put(&path, &body).await
    }

    /// Deletes a variable of a project.
    pub async fn delete_variable(&self, namespace: &str, name: &str, key: &str) -> Result<()> {
        self.delete(&["projects", namespace, name, "variables", key])
            .await
    }

    /// Sets the login of a namespace at a registry.
    pub async fn set_registry_credential(
        &self,
        namespace: &str,
        registry: &str,
        username: &str,
        password: &str,
    ) -> Result<RegistryCredential> {
        let path = ["namespaces", namespace, "registry-credentials"];
        let body = json!({"registry": registry, "username": username, "password": password});
        self.put(&path, &body).await
    }

    /// The pipelines of a project.
    pub async fn pipelines(&self, namespace: &str, name: &str) -> Result<Page<Pipeline>> {
        self.get(&["projects", namespace, name, "pipelines"]).await
    }

    /// Sets the jobs of a pipeline, and creates it if it does not exist.
    pub async fn put_pipeline(
        &self,
        namespace: &str,
        name: &str,
        pipeline: &Pipeline,
    ) -> Result<Pipeline> {
        let path = ["projects", namespace, name, "pipelines", &pipeline.slug];
        self.put(&path, &json!({"definition": pipeline.definition}))
            .await
    }
}

/// Builds and jobs.
impl Client {
    /// Builds a commit.
    pub async fn create_build(
        &self,
        namespace: &str,
        name: &str,
        build: &NewBuild,
    ) -> Result<Build> {
        self.post(&["projects", namespace, name, "builds"], build)
            .await
    }

    /// The builds of a project.
    pub async fn builds(
        &self,
        namespace: &str,
        name: &str,
        filter: &BuildFilter,
        page: &PageRequest,
    ) -> Result<Page<Build>> {
        let path = ["projects", namespace, name, "builds"];
        let request = self.request(Method::GET, &path).query(filter).query(page);
        self.fetch(request).await
    }

    /// A build with its jobs.
    pub async fn build(&self, id: Uuid) -> Result<Build> {
        self.get(&["builds", &id.to_string()]).await
    }

    /// Cancels all unfinished jobs of a build.
    pub async fn cancel_build(&self, id: Uuid) -> Result<Build> {
        self.post_empty(&["builds", &id.to_string(), "cancel"])
            .await
    }

    /// Retries all jobs of a build that did not succeed.
    pub async fn retry_build(&self, id: Uuid) -> Result<Build> {
        self.post_empty(&["builds", &id.to_string(), "retry"]).await
    }

    /// A job.
    pub async fn job(&self, id: i64) -> Result<Job> {
        self.get(&["jobs", &id.to_string()]).await
    }

    /// Cancels a job.
    pub async fn cancel_job(&self, id: i64) -> Result<Job> {
        self.post_empty(&["jobs", &id.to_string(), "cancel"]).await
    }

    /// Retries a finished job. Returns the new job.
    pub async fn retry_job(&self, id: i64) -> Result<Job> {
        self.post_empty(&["jobs", &id.to_string(), "retry"]).await
    }

    /// Starts a manual job.
    pub async fn play_job(&self, id: i64) -> Result<Job> {
        self.post_empty(&["jobs", &id.to_string(), "play"]).await
    }

    /// Erases the trace and the artifacts of a finished job.
    pub async fn erase_job(&self, id: i64) -> Result<Job> {
        self.post_empty(&["jobs", &id.to_string(), "erase"]).await
    }

    /// Why a job has not started.
    pub async fn pending_reason(&self, id: i64) -> Result<JobPendingReason> {
        self.get(&["jobs", &id.to_string(), "pending-reason"]).await
    }

    /// The stored bytes of a job's trace.
    pub async fn trace(&self, id: i64) -> Result<impl Stream<Item = Result<Bytes>> + use<>> {
        self.bytes(&["jobs", &id.to_string(), "trace"]).await
    }

    /// The artifacts of a job.
    pub async fn artifacts(&self, job: i64) -> Result<Page<Artifact>> {
        self.get(&["jobs", &job.to_string(), "artifacts"]).await
    }

    /// Keeps an artifact forever, so that it no longer expires.
    pub async fn keep_artifact(&self, id: i64) -> Result<Artifact> {
        self.post_empty(&["artifacts", &id.to_string(), "keep"])
            .await
    }

    /// The content of an archive or a file.
    pub async fn artifact_content(
        &self,
        id: i64,
    ) -> Result<impl Stream<Item = Result<Bytes>> + use<>> {
        self.bytes(&["artifacts", &id.to_string(), "content"]).await
    }

    async fn bytes(&self, path: &[&str]) -> Result<impl Stream<Item = Result<Bytes>> + use<>> {
        let response = self.send(self.request(Method::GET, path)).await?;
        Ok(response.bytes_stream().map_err(ClientError::Unreadable))
    }
}

/// Runners and the queue.
impl Client {
    /// The runners that the calling user may see.
    pub async fn runners(&self, page: &PageRequest) -> Result<Page<Runner>> {
        self.page(&["runners"], page).await
    }

    /// Changes or pauses a runner.
    pub async fn update_runner(&self, id: i64, change: &RunnerChange) -> Result<Runner> {
        self.patch(&["runners", &id.to_string()], change).await
    }

    /// Deletes a runner.
    pub async fn delete_runner(&self, id: i64) -> Result<()> {
        self.delete(&["runners", &id.to_string()]).await
    }

    /// The pending jobs, and why they are pending.
    pub async fn queue(&self) -> Result<Page<QueueLine>> {
        self.get(&["queue"]).await
    }
}
