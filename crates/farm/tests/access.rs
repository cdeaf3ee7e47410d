//! Authorisation: every role, from every kind of membership, through tokens of every scope.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails at the first unexpected result"
)]

use chrono::TimeDelta;
use slipway_blobs::{BlobLocation, Blobs};
use slipway_domain::queue::PendingReason;
use slipway_domain::{AccessToken, Name, Role, Scope, ScopeSet, Slug};
use slipway_farm::{
    Actor, BuildRequest, Chance, Clock, FailPoints, Farm, FarmError, Page, Parts, ProjectAccess,
    ProjectSettings, RegistrationRequest, SealKey, Settings, TokenRequest, UserUpdate,
};
use slipway_git::{Git, Limits};
use slipway_store::Store;
use slipway_testkit::postgres::{Database, migrated_database};
use slipway_testkit::{Backend, LOOPBACK, outbound};
use tempfile::TempDir;

slipway_testkit::on_both_back_ends!(
    effective_role_is_the_higher_membership_limited_by_the_token,
    administrator_has_every_role_up_to_the_token_scope,
    token_stops_working_when_expired_revoked_or_its_user_is_blocked,
    last_use_of_a_token_is_recorded_once_a_minute,
    tokens_cannot_grant_more_rights_than_their_creator_has,
    bootstrap_runs_only_once,
    setting_a_secret_again_replaces_it,
    queue_shows_only_projects_that_the_actor_may_read,
);

struct Fixture {
    farm: Farm,
    clock: Clock,
    root: Actor,
    _database: Option<Database>,
    _folder: TempDir,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn request(scope: Scope) -> TokenRequest {
    TokenRequest {
        name: "test".to_owned(),
        scopes: ScopeSet::new([scope]).unwrap(),
        expires_at: None,
    }
}

/// Starts a farm with the project `acme/api`.
async fn start(backend: Backend) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual();
    let database = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(migrated_database().await),
    };
    let url = match &database {
        Some(database) => database.url(),
        None => format!("sqlite://{}", folder.path().join("db").display()),
    };
    let blobs = BlobLocation::Directory(folder.path().join("blobs"));
    let parts = Parts {
        store: Store::open(&url.parse().unwrap()).await.unwrap(),
        blobs: Blobs::open(&blobs).await.unwrap(),
        git: Git::new(Limits::default(), outbound(LOOPBACK)).unwrap(),
        clock: clock.clone(),
        chance: Chance,
        fail_points: FailPoints::default(),
        seal: SealKey::from_hex(&"5a".repeat(32)).unwrap(),
        settings: Settings {
            // The repositories of these tests do not exist.
            pipelines_from_repository: false,
            ..Settings::default()
        },
    };
    let farm = Farm::open(parts).await.unwrap();
    let token = farm
        .bootstrap(None, None)
        .await
        .unwrap()
        .admin_token
        .unwrap();
    let root = farm.authenticate(&token).await.unwrap();
    farm.create_namespace(&root, &name("acme")).await.unwrap();
    let namespace = farm
        .namespace(&root, &name("acme"), Role::Owner)
        .await
        .unwrap();
    let settings =
        ProjectSettings::of_source("https://git.example/acme/api", "main".parse().unwrap());
    farm.create_project(&root, &namespace, &name("api"), settings)
        .await
        .unwrap();
    Fixture {
        farm,
        clock,
        root,
        _database: database,
        _folder: folder,
    }
}

impl Fixture {
    async fn token(&self, user: &str, scope: Scope) -> AccessToken {
        let made = self
            .farm
            .create_token_for(&self.root, &name(user), request(scope))
            .await;
        made.unwrap().1
    }

    async fn actor(&self, user: &str, scope: Scope) -> Actor {
        let token = self.token(user, scope).await;
        self.farm.authenticate(&token).await.unwrap()
    }

    async fn open(&self, actor: &Actor, need: Role) -> Result<ProjectAccess, FarmError> {
        self.farm
            .project(actor, &name("acme"), &name("api"), need)
            .await
    }

    /// The highest role in which the actor can act on the project; `None` when it cannot see it.
    async fn highest(&self, actor: &Actor) -> Option<Role> {
        let mut highest = None;
        for need in Role::ALL {
            match self.open(actor, *need).await {
                Ok(access) => {
                    assert!(access.role() >= *need);
                    highest = Some(*need);
                }
                Err(FarmError::Forbidden(_)) => assert!(
                    highest.is_some(),
                    "a visible project is forbidden, not missing"
                ),
                Err(FarmError::NotFound(_)) => assert_eq!(highest, None),
                Err(other) => panic!("{other}"),
            }
        }
        highest
    }
}

async fn effective_role_is_the_higher_membership_limited_by_the_token(backend: Backend) {
    let fixture = start(backend).await;
    let namespace = fixture
        .farm
        .namespace(&fixture.root, &name("acme"), Role::Owner)
        .await
        .unwrap();
    let project = fixture.open(&fixture.root, Role::Owner).await.unwrap();
    let choices = || std::iter::once(None).chain(Role::ALL.iter().copied().map(Some));
    for (i, in_namespace) in choices().enumerate() {
        for (j, in_project) in choices().enumerate() {
            let user = format!("user-{i}-{j}");
            fixture
                .farm
                .create_user(&fixture.root, &name(&user), false)
                .await
                .unwrap();
            if let Some(role) = in_namespace {
                fixture
                    .farm
                    .set_namespace_member(&namespace, &name(&user), role)
                    .await
                    .unwrap();
            }
            if let Some(role) = in_project {
                fixture
                    .farm
                    .set_project_member(&project, &name(&user), role)
                    .await
                    .unwrap();
            }
            for scope in Scope::ALL {
                let actor = fixture.actor(&user, *scope).await;
                let expected = in_namespace
                    .max(in_project)
                    .zip(scope.ceiling())
                    .map(|(role, ceiling)| role.min(ceiling));
                let found = fixture.highest(&actor).await;
                assert_eq!(found, expected, "{in_namespace:?} {in_project:?} {scope}");
                let page = Page {
                    before: None,
                    limit: 10,
                };
                let listed = fixture.farm.projects(&actor, page).await;
                match scope.ceiling() {
                    Some(_) => {
                        let count = usize::from(expected.is_some());
                        assert_eq!(listed.unwrap().len(), count);
                    }
                    None => assert!(matches!(listed, Err(FarmError::Forbidden(_)))),
                }
            }
        }
    }
}

async fn administrator_has_every_role_up_to_the_token_scope(backend: Backend) {
    let fixture = start(backend).await;
    for scope in Scope::ALL {
        let actor = fixture.actor("root", *scope).await;
        assert_eq!(fixture.highest(&actor).await, scope.ceiling());
        assert_eq!(fixture.farm.admin(&actor).is_ok(), *scope == Scope::Admin);
    }
}

async fn token_stops_working_when_expired_revoked_or_its_user_is_blocked(backend: Backend) {
    let fixture = start(backend).await;
    let farm = &fixture.farm;
    farm.create_user(&fixture.root, &name("ann"), false)
        .await
        .unwrap();
    let bad = |result: Result<Actor, FarmError>| matches!(result, Err(FarmError::BadToken));
    let ended = |result: Result<Actor, FarmError>| matches!(result, Err(FarmError::EndedToken));

    let mut short = request(Scope::Read);
    short.expires_at = Some(fixture.clock.now() + TimeDelta::hours(1));
    let made = farm
        .create_token_for(&fixture.root, &name("ann"), short.clone())
        .await;
    let (_, token) = made.unwrap();
    assert!(farm.authenticate(&token).await.is_ok());
    fixture.clock.advance(TimeDelta::hours(1));
    assert!(ended(farm.authenticate(&token).await));
    let late = farm
        .create_token_for(&fixture.root, &name("ann"), short)
        .await;
    assert!(matches!(late, Err(FarmError::Invalid(_))));

    let made = farm
        .create_token_for(&fixture.root, &name("ann"), request(Scope::Read))
        .await;
    let (row, token) = made.unwrap();
    farm.revoke_token(&fixture.root, row.id).await.unwrap();
    assert!(ended(farm.authenticate(&token).await));

    let token = fixture.token("ann", Scope::Read).await;
    let blocked = UserUpdate {
        active: Some(false),
        admin: None,
    };
    farm.update_user(&fixture.root, &name("ann"), blocked)
        .await
        .unwrap();
    assert!(bad(farm.authenticate(&token).await));
    assert!(bad(farm.authenticate(&AccessToken::presented("")).await));
}

async fn last_use_of_a_token_is_recorded_once_a_minute(backend: Backend) {
    let fixture = start(backend).await;
    let token = fixture.token("root", Scope::Read).await;
    let page = Page {
        before: None,
        limit: 1,
    };
    let mut seen = Vec::new();
    for pause in [0, 59, 2] {
        fixture.clock.advance(TimeDelta::seconds(pause));
        fixture.farm.authenticate(&token).await.unwrap();
        seen.push(fixture.farm.tokens(&fixture.root, page).await.unwrap()[0].last_used_at);
    }
    assert!(seen[0].is_some());
    assert_eq!(seen[0], seen[1]);
    assert!(seen[2] > seen[1]);
}

async fn tokens_cannot_grant_more_rights_than_their_creator_has(backend: Backend) {
    let fixture = start(backend).await;
    let farm = &fixture.farm;
    farm.create_user(&fixture.root, &name("ann"), false)
        .await
        .unwrap();
    let project = fixture.open(&fixture.root, Role::Owner).await.unwrap();
    farm.set_project_member(&project, &name("ann"), Role::Maintainer)
        .await
        .unwrap();
    let registration = || RegistrationRequest {
        description: "test".to_owned(),
        single_use: true,
        expires_at: None,
    };
    for scope in Scope::ALL {
        let actor = fixture.actor("ann", *scope).await;
        let narrow = *scope < Scope::Admin;
        let made = farm.create_token(&actor, request(Scope::Read)).await;
        assert_eq!(made.is_err(), narrow, "{scope}");
        if scope.ceiling().is_some() {
            let access = fixture.open(&actor, Role::Reader).await.unwrap();
            let made = farm
                .create_project_registration(&actor, &access, registration())
                .await;
            assert_eq!(made.is_err(), narrow, "{scope}");
        }
        let made = farm
            .create_shared_registration(&actor, registration())
            .await;
        assert!(matches!(made, Err(FarmError::Forbidden(_))), "{scope}");
    }
}

async fn bootstrap_runs_only_once(backend: Backend) {
    let fixture = start(backend).await;
    let again = fixture.farm.bootstrap(None, None).await.unwrap();
    assert!(again.admin_token.is_none() && again.registration_token.is_none());
    let short = Some(AccessToken::presented("short"));
    let refused = fixture.farm.bootstrap(short, None).await;
    assert!(matches!(refused, Err(FarmError::Invalid(_))));
}

async fn setting_a_secret_again_replaces_it(backend: Backend) {
    let fixture = start(backend).await;
    let farm = &fixture.farm;
    let project = fixture.open(&fixture.root, Role::Owner).await.unwrap();
    for (value, public) in [("first", true), ("second", false), ("third", true)] {
        let new = slipway_farm::NewVariable {
            value,
            public,
            file: public,
        };
        farm.set_variable(&project, "KEY", new).await.unwrap();
        let shown = farm.variables(&project).await.unwrap();
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].value.as_deref(), public.then_some(value));
        assert_eq!(shown[0].file, public);
    }
    farm.delete_variable(&project, "KEY").await.unwrap();
    assert!(farm.variables(&project).await.unwrap().is_empty());

    let namespace = farm
        .registry_accounts(&fixture.root, &name("acme"))
        .await
        .unwrap();
    for user in ["me", "you"] {
        let set = farm.set_registry_credential(&namespace, "r.example", user, "pass");
        set.await.unwrap();
        let shown = farm.registry_credentials(&namespace).await.unwrap();
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].username, user);
    }
    let remove = farm.delete_registry_credential(&namespace, "R.example");
    remove.await.unwrap();
}

async fn queue_shows_only_projects_that_the_actor_may_read(backend: Backend) {
    let fixture = start(backend).await;
    let farm = &fixture.farm;
    let project = fixture.open(&fixture.root, Role::Owner).await.unwrap();
    for _ in 0..2 {
        let request = BuildRequest {
            pipeline: Slug::default_pipeline(),
            sha: Some("a".repeat(40).parse().unwrap()),
            git_ref: None,
        };
        let build = farm.create_build(&fixture.root, &project, request).await;
        build.unwrap();
    }
    let lines = farm.queue(&fixture.root).await.unwrap();
    assert_eq!((lines.len(), lines[0].count), (1, 2));
    assert_eq!(lines[0].reason, PendingReason::NoRunnerForProject);
    farm.create_user(&fixture.root, &name("ann"), false)
        .await
        .unwrap();
    let ann = fixture.actor("ann", Scope::Read).await;
    assert!(farm.queue(&ann).await.unwrap().is_empty());
    farm.set_project_member(&project, &name("ann"), Role::Reader)
        .await
        .unwrap();
    assert_eq!(farm.queue(&ann).await.unwrap().len(), 1);
}
