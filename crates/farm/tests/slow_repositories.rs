//! Definitions that are read from repositories which take longer than callers wait.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails at the first unexpected result"
)]

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use slipway_blobs::{BlobLocation, Blobs};
use slipway_domain::{Name, Role, Slug};
use slipway_farm::{
    Actor, BuildFilter, BuildRequest, Chance, Clock, FailPoints, Farm, FarmError, Forge,
    HookSecret, HookSettings, Page, Parts, ProjectAccess, ProjectSettings, Proof, Push,
    PushOutcome, SealKey, Settings,
};
use slipway_git::{Git, Limits};
use slipway_store::Store;
use slipway_testkit::{GitServer, LOOPBACK, outbound, wait_for, wait_until};
use tempfile::TempDir;

const DEFINITION: &str = "jobs:\n  one: {script: [x]}\n";

struct Fixture {
    farm: Farm,
    root: Actor,
    access: ProjectAccess,
    _folder: TempDir,
}

/// A farm whose callers wait for nothing, with the project `acme/api` at this URL.
async fn start(repo_url: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("db").display());
    let blobs = BlobLocation::Directory(folder.path().join("blobs"));
    let parts = Parts {
        store: Store::open(&url.parse().unwrap()).await.unwrap(),
        blobs: Blobs::open(&blobs).await.unwrap(),
        git: Git::new(Limits::default(), outbound(LOOPBACK)).unwrap(),
        clock: Clock::manual(),
        chance: Chance,
        fail_points: FailPoints::default(),
        seal: SealKey::from_hex(&"5a".repeat(32)).unwrap(),
        settings: Settings {
            definition_wait: Duration::ZERO,
            hook_wait: Duration::ZERO,
            hooks: HookSettings {
                github: Some(HookSecret::new(SECRET).unwrap()),
                ..HookSettings::default()
            },
            ..Settings::default()
        },
    };
    let farm = Farm::open(parts).await.unwrap();
    let tokens = farm.bootstrap(None, None).await.unwrap();
    let root = farm
        .authenticate(&tokens.admin_token.unwrap())
        .await
        .unwrap();
    let (namespace, name): (Name, Name) = ("acme".parse().unwrap(), "api".parse().unwrap());
    farm.create_namespace(&root, &namespace).await.unwrap();
    let owner = farm
        .namespace(&root, &namespace, Role::Owner)
        .await
        .unwrap();
    let settings = ProjectSettings::of_source(repo_url, "main".parse().unwrap());
    farm.create_project(&root, &owner, &name, settings)
        .await
        .unwrap();
    let access = farm
        .project(&root, &namespace, &name, Role::Owner)
        .await
        .unwrap();
    Fixture {
        farm,
        root,
        access,
        _folder: folder,
    }
}

/// How long git may take.
const LIMIT: Duration = Duration::from_secs(20);
const SECRET: &str = "a-secret-of-the-farm";

impl Fixture {
    async fn build(&self, sha: &str) -> Result<(), FarmError> {
        let request = BuildRequest {
            pipeline: Slug::default_pipeline(),
            sha: Some(sha.parse().unwrap()),
            git_ref: Some("main".parse().unwrap()),
        };
        let created = self.farm.create_build(&self.root, &self.access, request);
        created.await.map(drop)
    }

    /// Repeats a request as long as the farm says that it is still reading.
    async fn build_at_last(&self, sha: &str) -> Result<(), FarmError> {
        wait_for(LIMIT, "the repository is read", async || {
            let result = self.build(sha).await;
            let is_slow = |error: &FarmError| error.to_string().contains("takes longer than");
            (!result.as_ref().is_err_and(is_slow)).then_some(result)
        })
        .await
    }

    async fn builds(&self) -> usize {
        let all = Page {
            before: None,
            limit: 100,
        };
        let builds = self.farm.builds(&self.access, BuildFilter::default(), all);
        builds.await.unwrap().len()
    }
}

#[tokio::test]
async fn a_request_names_the_reason_and_a_later_one_finds_what_was_read_meanwhile() {
    let git = GitServer::start();
    let repo = git.repo("acme/api");
    let sha = repo.commit(&[(".slipway.yml", DEFINITION)], "first");
    let fixture = start(repo.url()).await;
    let error = fixture.build(&sha).await.unwrap_err();
    assert!(
        matches!(error, FarmError::SourceUnavailable(_)),
        "{error:?}"
    );
    let text = error.to_string();
    for part in [".slipway.yml", repo.url(), "partial clone", "repeat"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(fixture.builds().await, 0);
    fixture.build_at_last(&sha).await.unwrap();
    assert_eq!(fixture.builds().await, 1);
}

#[tokio::test]
async fn a_later_request_gets_the_reason_of_a_read_that_failed_meanwhile() {
    let fixture = start("http://127.0.0.1:1/none.git").await;
    let error = fixture.build_at_last(&"a".repeat(40)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("could not read the repository"), "{text}");
}

#[tokio::test]
async fn a_push_is_accepted_and_its_build_created_when_the_repository_is_read() {
    let git = GitServer::start();
    let repo = git.repo("acme/api");
    let sha = repo.commit(&[(".slipway.yml", DEFINITION)], "first");
    let fixture = start(repo.url()).await;
    let path = "acme/api".parse().unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    let signature = mac.chain_update(b"body").finalize().into_bytes();
    let proof = Proof::Sha256(&signature);
    let hook = fixture
        .farm
        .verify_hook(Forge::GitHub, Some(&path), b"body", proof);
    let hook = hook.await.unwrap().unwrap();
    let push = Push {
        project: path,
        default_branch: None,
        git_ref: "main".parse().unwrap(),
        ref_is_tag: false,
        sha: sha.parse().unwrap(),
        no_cache: false,
        delivery: None,
    };
    let outcome = fixture.farm.handle_push(&hook, push.clone()).await.unwrap();
    assert_eq!(outcome, PushOutcome::Accepted);
    wait_until(LIMIT, "the build is created", async || {
        fixture.builds().await == 1
    })
    .await;
}
