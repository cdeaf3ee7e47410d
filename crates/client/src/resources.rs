//! One method for each thing that the API does.

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

type Answer<T> = Result<T, ClientError>;

/// People and tokens.
impl Client {
    /// Who is calling.
    pub async fn current_user(&self) -> Answer<CurrentUser> {
        self.get(&["user"]).await
    }

    /// The users. Administrators see them.
    pub async fn users(&self, page: &PageRequest) -> Answer<Page<User>> {
        self.page(&["users"], page).await
    }

    /// Makes a user. Administrators do.
    pub async fn create_user(&self, name: &str, admin: bool) -> Answer<User> {
        let body = json!({"name": name, "admin": admin});
        self.post(&["users"], &body).await
    }

    /// Gives the caller a new password in the place of `old`, if it has one.
    pub async fn change_password(&self, old: Option<&str>, new: &str) -> Answer<()> {
        let body = json!({"old": old, "new": new});
        self.put_quietly(&["user", "password"], &body).await
    }

    /// Gives another user a password. Administrators do.
    pub async fn set_password(&self, user: &str, new: &str) -> Answer<()> {
        let body = json!({"new": new});
        self.put_quietly(&["users", user, "password"], &body).await
    }

    async fn put_quietly(&self, path: &[&str], body: &serde_json::Value) -> Answer<()> {
        let request = self.request(Method::PUT, path).json(body);
        self.send(request).await.map(drop)
    }

    /// Makes a token for the caller.
    pub async fn create_token(&self, name: &str, scopes: &[&str]) -> Answer<CreatedToken> {
        let body = json!({"name": name, "scopes": scopes});
        self.post(&["tokens"], &body).await
    }

    /// Makes a token for a user. Administrators do.
    pub async fn create_token_for(
        &self,
        user: &str,
        name: &str,
        scopes: &[&str],
    ) -> Answer<CreatedToken> {
        let body = json!({"name": name, "scopes": scopes});
        self.post(&["users", user, "tokens"], &body).await
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, id: i64) -> Answer<()> {
        self.delete(&["tokens", &id.to_string()]).await
    }

    /// Makes a registration token for shared runners. Administrators do.
    pub async fn create_registration_token(
        &self,
        description: &str,
        single_use: bool,
    ) -> Answer<CreatedToken> {
        let body = json!({"description": description, "single_use": single_use});
        self.post(&["registration-tokens"], &body).await
    }

    /// Makes a registration token for runners of one project.
    pub async fn create_project_registration_token(
        &self,
        namespace: &str,
        name: &str,
        description: &str,
        single_use: bool,
    ) -> Answer<CreatedToken> {
        let body = json!({"description": description, "single_use": single_use});
        let path = ["projects", namespace, name, "registration-tokens"];
        self.post(&path, &body).await
    }
}

/// Namespaces and projects.
impl Client {
    /// The namespaces that the caller is a member of.
    pub async fn namespaces(&self, page: &PageRequest) -> Answer<Page<Namespace>> {
        self.page(&["namespaces"], page).await
    }

    /// Makes a namespace.
    pub async fn create_namespace(&self, name: &str) -> Answer<Namespace> {
        self.post(&["namespaces"], &json!({"name": name})).await
    }

    /// Gives a user a role in a namespace.
    pub async fn set_namespace_member(
        &self,
        namespace: &str,
        user: &str,
        role: &str,
    ) -> Answer<Member> {
        let path = ["namespaces", namespace, "members", user];
        self.put(&path, &json!({"role": role})).await
    }

    /// The projects that the caller may see.
    pub async fn projects(&self, page: &PageRequest) -> Answer<Page<Project>> {
        self.page(&["projects"], page).await
    }

    /// One project.
    pub async fn project(&self, namespace: &str, name: &str) -> Answer<Project> {
        self.get(&["projects", namespace, name]).await
    }

    /// Makes a project.
    pub async fn create_project(&self, project: &NewProject) -> Answer<Project> {
        self.post(&["projects"], project).await
    }

    /// Removes a project with everything that it has.
    pub async fn delete_project(&self, namespace: &str, name: &str) -> Answer<()> {
        self.delete(&["projects", namespace, name]).await
    }

    /// Gives a user a role in a project.
    pub async fn set_project_member(
        &self,
        namespace: &str,
        name: &str,
        user: &str,
        role: &str,
    ) -> Answer<Member> {
        let path = ["projects", namespace, name, "members", user];
        self.put(&path, &json!({"role": role})).await
    }

    /// What opens a project's repository.
    pub async fn deploy_key(&self, namespace: &str, name: &str) -> Answer<DeployKey> {
        self.get(&["projects", namespace, name, "deploy-key"]).await
    }

    /// Sets what opens a project's repository.
    pub async fn set_deploy_key(
        &self,
        namespace: &str,
        name: &str,
        new: &NewDeployKey,
    ) -> Answer<DeployKey> {
        self.put(&["projects", namespace, name, "deploy-key"], new)
            .await
    }

    /// Removes what opens a project's repository.
    pub async fn remove_deploy_key(&self, namespace: &str, name: &str) -> Answer<()> {
        self.delete(&["projects", namespace, name, "deploy-key"])
            .await
    }

    /// The variables of a project.
    pub async fn variables(&self, namespace: &str, name: &str) -> Answer<Page<Variable>> {
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
    ) -> Answer<Variable> {
        let path = ["projects", namespace, name, "variables", key];
        let body = json!({"value": value, "public": public});
        self.put(&path, &body).await
    }

    /// Removes a variable of a project.
    pub async fn remove_variable(&self, namespace: &str, name: &str, key: &str) -> Answer<()> {
        self.delete(&["projects", namespace, name, "variables", key])
            .await
    }

    /// Sets what the jobs of a namespace log in to a registry with.
    pub async fn set_registry_credential(
        &self,
        namespace: &str,
        registry: &str,
        username: &str,
        password: &str,
    ) -> Answer<RegistryCredential> {
        let path = ["namespaces", namespace, "registry-credentials"];
        let body = json!({"registry": registry, "username": username, "password": password});
        self.put(&path, &body).await
    }

    /// The pipelines of a project.
    pub async fn pipelines(&self, namespace: &str, name: &str) -> Answer<Page<Pipeline>> {
        self.get(&["projects", namespace, name, "pipelines"]).await
    }

    /// Says what a pipeline runs from now on.
    pub async fn put_pipeline(
        &self,
        namespace: &str,
        name: &str,
        pipeline: &Pipeline,
    ) -> Answer<Pipeline> {
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
    ) -> Answer<Build> {
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
    ) -> Answer<Page<Build>> {
        let path = ["projects", namespace, name, "builds"];
        let request = self.request(Method::GET, &path).query(filter).query(page);
        self.fetch(request).await
    }

    /// One build, with its jobs.
    pub async fn build(&self, id: Uuid) -> Answer<Build> {
        self.get(&["builds", &id.to_string()]).await
    }

    /// Calls off what is not over of a build.
    pub async fn cancel_build(&self, id: Uuid) -> Answer<Build> {
        self.act(&["builds", &id.to_string(), "cancel"]).await
    }

    /// Makes new attempts at what did not succeed of a build.
    pub async fn retry_build(&self, id: Uuid) -> Answer<Build> {
        self.act(&["builds", &id.to_string(), "retry"]).await
    }

    /// One job.
    pub async fn job(&self, id: i64) -> Answer<Job> {
        self.get(&["jobs", &id.to_string()]).await
    }

    /// Calls a job off.
    pub async fn cancel_job(&self, id: i64) -> Answer<Job> {
        self.act(&["jobs", &id.to_string(), "cancel"]).await
    }

    /// Makes a new attempt at a job.
    pub async fn retry_job(&self, id: i64) -> Answer<Job> {
        self.act(&["jobs", &id.to_string(), "retry"]).await
    }

    /// Starts a job that waits for somebody to start it.
    pub async fn play_job(&self, id: i64) -> Answer<Job> {
        self.act(&["jobs", &id.to_string(), "play"]).await
    }

    /// Erases the trace and the artifacts of a job.
    pub async fn erase_job(&self, id: i64) -> Answer<Job> {
        self.act(&["jobs", &id.to_string(), "erase"]).await
    }

    /// Why a job has not begun.
    pub async fn pending_reason(&self, id: i64) -> Answer<JobPendingReason> {
        self.get(&["jobs", &id.to_string(), "pending-reason"]).await
    }

    /// The trace of a job, as far as it is stored.
    pub async fn trace(&self, id: i64) -> Answer<impl Stream<Item = Answer<Bytes>> + use<>> {
        self.bytes(&["jobs", &id.to_string(), "trace"]).await
    }

    /// The artifacts of a job.
    pub async fn artifacts(&self, job: i64) -> Answer<Page<Artifact>> {
        self.get(&["jobs", &job.to_string(), "artifacts"]).await
    }

    /// Keeps an artifact for ever that would have expired.
    pub async fn keep_artifact(&self, id: i64) -> Answer<Artifact> {
        self.act(&["artifacts", &id.to_string(), "keep"]).await
    }

    /// The bytes of an archive.
    pub async fn artifact_content(
        &self,
        id: i64,
    ) -> Answer<impl Stream<Item = Answer<Bytes>> + use<>> {
        self.bytes(&["artifacts", &id.to_string(), "content"]).await
    }

    async fn bytes(&self, path: &[&str]) -> Answer<impl Stream<Item = Answer<Bytes>> + use<>> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        Ok(answer.bytes_stream().map_err(ClientError::Unreadable))
    }
}

/// Runners and the queue.
impl Client {
    /// The runners that the caller may see.
    pub async fn runners(&self, page: &PageRequest) -> Answer<Page<Runner>> {
        self.page(&["runners"], page).await
    }

    /// Changes a runner, or pauses it.
    pub async fn update_runner(&self, id: i64, change: &RunnerChange) -> Answer<Runner> {
        self.patch(&["runners", &id.to_string()], change).await
    }

    /// Removes a runner.
    pub async fn remove_runner(&self, id: i64) -> Answer<()> {
        self.delete(&["runners", &id.to_string()]).await
    }

    /// What waits, and why.
    pub async fn queue(&self) -> Answer<Page<QueueLine>> {
        self.get(&["queue"]).await
    }
}
