//! Actions of people on a farm: its use cases, with the administrator's permissions.

use slipway_domain::{JobId, Name, Role, RunnerId, Scope, ScopeSet};
use slipway_farm::{
    Artifact, Build, Job, Page, ProjectAccess, ProjectUpdate, RegistrationRequest, Runner,
    RunnerUpdate, TokenRequest,
};

use super::TestFarm;

/// A page that holds more rows than any test creates.
const ALL: Page = Page {
    before: None,
    limit: 1000,
};

impl TestFarm {
    /// Makes every stored blob unavailable.
    pub fn lose_blobs(&self) {
        let blobs = self.config.data_dir.join("blobs");
        std::fs::rename(&blobs, self.config.data_dir.join("lost")).expect("the blob directory");
    }

    /// Makes the blobs available again after [`TestFarm::lose_blobs`].
    pub fn find_blobs(&self) {
        let blobs = self.config.data_dir.join("blobs");
        std::fs::rename(self.config.data_dir.join("lost"), &blobs).expect("the lost blobs");
    }

    /// Creates a user, and returns a token for it with every scope.
    pub async fn user(&self, name: &str) -> String {
        let root = self.admin().await;
        let user: Name = name.parse().expect("a name");
        let created = self.farm().create_user(&root, &user, false).await;
        created.expect("a user");
        self.token_of(name).await
    }

    /// Creates another token with every scope for a user.
    pub async fn token_of(&self, name: &str) -> String {
        let root = self.admin().await;
        let request = TokenRequest {
            name: "test".to_owned(),
            scopes: ScopeSet::new(Scope::ALL.iter().copied()).expect("scopes"),
            expires_at: None,
        };
        let user: Name = name.parse().expect("a name");
        let created = self.farm().create_token_for(&root, &user, request).await;
        created.expect("a token").1.expose().to_owned()
    }

    /// Adds a user to a project.
    pub async fn member(&self, access: &ProjectAccess, name: &str, role: Role) {
        let user: Name = name.parse().expect("a name");
        let set = self.farm().set_project_member(access, &user, role).await;
        set.expect("a member");
    }

    /// Adds a user to a namespace.
    pub async fn namespace_member(&self, namespace: &str, user: &str, role: Role) {
        let (namespace, user): (Name, Name) = (
            namespace.parse().expect("a name"),
            user.parse().expect("a name"),
        );
        let access = self
            .farm()
            .namespace(&self.admin().await, &namespace, Role::Owner)
            .await
            .expect("a namespace");
        let set = self.farm().set_namespace_member(&access, &user, role).await;
        set.expect("a member");
    }

    /// Changes the settings of a project.
    pub async fn change_project(&self, access: &ProjectAccess, change: ProjectUpdate) {
        let changed = self.farm().update_project(access, change).await;
        changed.expect("the change");
    }

    /// Creates a registration token for runners of one project.
    pub async fn project_registration_token(&self, access: &ProjectAccess) -> String {
        let request = RegistrationRequest {
            description: "runners of one project".to_owned(),
            single_use: false,
            expires_at: None,
        };
        let (_, token) = self
            .farm()
            .create_project_registration(&self.admin().await, access, request)
            .await
            .expect("a registration token");
        token.expose().to_owned()
    }

    /// The registered runners, newest first.
    pub async fn runners(&self) -> Vec<Runner> {
        let admin = self.admin().await;
        self.farm().runners(&admin, ALL).await.expect("runners")
    }

    /// Changes the settings of a runner.
    pub async fn change_runner(&self, id: RunnerId, change: RunnerUpdate) {
        let admin = self.admin().await;
        let runner = self.farm().runner(&admin, id, Role::Owner).await;
        self.farm()
            .update_runner(&runner.expect("a runner"), change)
            .await
            .expect("the change");
    }

    /// Pauses a runner.
    pub async fn pause_runner(&self, id: RunnerId) {
        let change = RunnerUpdate {
            paused: Some(true),
            ..RunnerUpdate::default()
        };
        self.change_runner(id, change).await;
    }

    /// Reads a job again.
    pub async fn job(&self, id: JobId) -> Job {
        self.job_and_access(id).await.1
    }

    async fn job_and_access(&self, id: JobId) -> (ProjectAccess, Job) {
        let admin = self.admin().await;
        let found = self.farm().job(&admin, id, Role::Owner).await;
        found.expect("a job")
    }

    /// Reads a build again.
    pub async fn build_now(&self, build: &Build) -> Build {
        let admin = self.admin().await;
        let found = self.farm().build(&admin, build.uuid, Role::Owner).await;
        found.expect("a build").1
    }

    /// Cancels a job.
    pub async fn cancel(&self, id: JobId) {
        let (access, job) = self.job_and_access(id).await;
        let canceled = self.farm().cancel_job(&access, &job).await;
        canceled.expect("the job is canceled");
    }

    /// Deletes the trace and the artifacts of a job.
    pub async fn erase(&self, id: JobId) {
        let admin = self.admin().await;
        let (access, job) = self.job_and_access(id).await;
        let erased = self.farm().erase_job(&admin, &access, &job).await;
        erased.expect("the job is erased");
    }

    /// The artifacts of a job.
    pub async fn artifacts(&self, id: JobId) -> Vec<Artifact> {
        self.farm().artifacts_of(id).await.expect("artifacts")
    }
}
