//! Calls every function of the SDK that has a meaning at a farm: `published-client URL TOKEN`. The
//! organization `acme` has a pipeline with the source slug `ci` in the repository `acme/web`.

use std::collections::HashMap;
use std::error::Error;

use futures_util::StreamExt;
use harmont_cloud::builds::{NewBuild, NewRepoBuild};
use harmont_cloud::logs::LogEvent;
use harmont_cloud::models::{OpenBuildState, build_is_terminal, job_is_terminal};
use harmont_cloud::{HarmontClient, HarmontError, types};

const GRAPH: &str = r#"{"version":"0","steps":[{"type":"command","key":"t","cmd":"make test"}]}"#;

type Outcome = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(token)) = (arguments.next(), arguments.next()) else {
        return Err("usage: published-client URL TOKEN".into());
    };
    let client = HarmontClient::with_base_url(token, &url);
    user_and_organizations(&client).await?;
    pipelines(&client).await?;
    builds(&client, &url).await?;
    raw_builds(&client).await?;
    errors(&client, &url).await?;
    tokens_and_logins(&client, &url).await
}

async fn user_and_organizations(client: &HarmontClient) -> Outcome {
    let raw = client.raw();
    assert_eq!(raw.ping().await?.status, "ok");
    let user = raw.get_current_user().await?;
    assert_eq!(user.name.as_deref(), Some("ana"));
    let body = types::CreateOrganizationRequest {
        name: "New Org".parse()?,
        url: None,
    };
    let created = raw.create_organization(&body).await?;
    assert_eq!(created.slug, "new-org");
    let listed = raw.list_organizations(None, Some(1)).await?;
    assert_eq!(listed.data.len(), 1);
    let next = listed.next_cursor.clone().ok_or("no second page")?;
    let listed = raw.list_organizations(Some(&next), None).await?;
    assert_eq!(listed.data[0].id, created.id);
    assert_eq!(raw.get_organization("new-org").await?.id, created.id);
    let members = raw.list_org_members("new-org").await?;
    assert_eq!(members.data[0].user_id, user.id);
    let id = user.id.to_string();
    let role = types::UpdateMemberRoleRequest {
        role: types::UpdateMemberRoleRequestRole::Owner,
    };
    assert_eq!(raw.update_org_member("new-org", &id, &role).await?.user_id, user.id);
    // The last owner cannot leave.
    match raw.remove_org_member("new-org", &id).await {
        Err(error) => assert_eq!(error.status().map(|status| status.as_u16()), Some(409)),
        Ok(_) => return Err("the last owner was removed".into()),
    }
    Ok(())
}

async fn pipelines(client: &HarmontClient) -> Outcome {
    let raw = client.raw();
    let body = types::CreatePipelineRequest {
        default_branch: "main".to_owned(),
        description: Some("A pipeline".to_owned()),
        name: "Local Work".to_owned(),
        repo_name: None,
        repository: "acme/local".to_owned(),
    };
    let created = raw.create_pipeline("new-org", &body).await?;
    assert_eq!(created.slug, "local-work");
    assert_eq!(created.repository, "acme/local");
    assert_eq!(created.repo_name.as_deref(), Some("acme/local"));
    let listed = raw.list_pipelines("new-org", None, None).await?;
    assert_eq!(listed.data[0].id, created.id);
    assert_eq!(raw.get_pipeline("new-org", "local-work").await?.id, created.id);
    let other = types::CreatePipelineRequest {
        name: "Old".to_owned(),
        ..body
    };
    raw.create_pipeline("new-org", &other).await?;
    raw.delete_pipeline("new-org", "old").await?;
    assert_eq!(raw.list_pipelines("new-org", None, None).await?.data.len(), 1);
    Ok(())
}

async fn builds(client: &HarmontClient, url: &str) -> Outcome {
    let build = client
        .submit_build(NewBuild {
            org: "new-org".to_owned(),
            pipeline: "local-work".to_owned(),
            branch: "main".to_owned(),
            commit: "6c1d3f0e9a".to_owned(),
            message: Some("try".to_owned()),
            pipeline_ir: GRAPH.to_owned(),
            source_tgz: b"not really an archive".to_vec(),
            env: HashMap::from([("LEVEL".to_owned(), "1".to_owned())]),
        })
        .await?;
    assert_eq!((build.number, build.state), (1, OpenBuildState::Scheduled));
    let read = client.get_build("new-org", "local-work", 1).await?;
    assert_eq!(read.message.as_deref(), Some("try"));
    let jobs = client.list_jobs("new-org", "local-work", 1).await?;
    assert_eq!(jobs[0].step_key.as_deref(), Some("t"));
    client.cancel_build("new-org", "local-work", 1).await?;
    let read = client.get_build("new-org", "local-work", 1).await?;
    assert!(build_is_terminal(&read.state), "{:?}", read.state);
    let jobs = client.list_jobs("new-org", "local-work", 1).await?;
    assert!(job_is_terminal(&jobs[0].state), "{:?}", jobs[0].state);

    let token = client.log_token("new-org", "local-work", 1).await?;
    let job: uuid::Uuid = jobs[0].id.parse()?;
    let events = client.stream_job_logs(url, job, &token.token).await?;
    let events: Vec<_> = events.collect().await;
    assert!(matches!(events.first(), Some(Ok(LogEvent::History(_)))), "{events:?}");
    assert!(matches!(events.last(), Some(Ok(LogEvent::Done))), "{events:?}");

    let by_source = client.submit_repo_build(by_source("ci")).await?;
    assert_eq!(by_source.pipeline_slug, "acme-web-ci");
    Ok(())
}

fn by_source(slug: &str) -> NewRepoBuild {
    NewRepoBuild {
        org: "acme".to_owned(),
        repo_name: "acme/web".to_owned(),
        source_slug: slug.to_owned(),
        branch: "main".to_owned(),
        commit: "6c1d3f0e9a".to_owned(),
        message: None,
        pipeline_ir: GRAPH.to_owned(),
        source_tgz: Vec::new(),
        env: HashMap::new(),
    }
}

/// The generated functions, whose types are stricter than those of the wrappers.
async fn raw_builds(client: &HarmontClient) -> Outcome {
    let raw = client.raw();
    let body = types::CreateBuildRequest {
        branch: "main".to_owned(),
        commit: "6c1d3f0e9a".to_owned(),
        env: None,
        message: None,
        pipeline_ir: Some(GRAPH.to_owned()),
        source: None,
        source_b64: Some(String::new()),
        source_sha256: None,
        source_url: None,
    };
    let created = raw.create_build("new-org", "local-work", &body).await?;
    assert_eq!(created.number, 2);
    let body = types::CreateRepoBuildRequest {
        branch: "main".to_owned(),
        commit: "6c1d3f0e9a".to_owned(),
        env: None,
        message: None,
        pipeline_ir: Some(GRAPH.to_owned()),
        repo_name: "ACME/web".to_owned(),
        source: None,
        source_b64: None,
        source_slug: "ci".to_owned(),
    };
    assert_eq!(raw.create_build_by_source("acme", &body).await?.pipeline_slug, "acme-web-ci");
    let page = raw.list_builds("new-org", "local-work", None, Some(1)).await?;
    assert_eq!(page.data[0].id, created.id);
    assert!(page.next_cursor.is_some());
    assert_eq!(raw.get_build("new-org", "local-work", 2).await?.id, created.id);
    let jobs = raw.list_jobs("new-org", "local-work", 2).await?;
    let id = jobs.data[0].id;
    let job = raw.get_job("new-org", "local-work", 2, &id.to_string()).await?;
    assert_eq!(job.id, id);
    raw.get_build_log_token("new-org", "local-work", 2).await?;
    assert_eq!(raw.cancel_build("new-org", "local-work", 2).await?.number, 2);
    Ok(())
}

async fn errors(client: &HarmontClient, url: &str) -> Outcome {
    let missing = client.get_build("acme", "web", 999).await;
    assert!(matches!(missing, Err(HarmontError::NotFound(_))), "{missing:?}");
    let missing = client.submit_repo_build(by_source("unknown")).await;
    match missing {
        Err(HarmontError::Api { status, code, .. }) => {
            assert_eq!((status, code.as_str()), (404, "pipeline_not_found"));
        }
        other => return Err(format!("{other:?}").into()),
    }
    let stranger = HarmontClient::with_base_url("hm_wrong", url);
    let refused = stranger.get_build("acme", "web", 1).await;
    assert!(matches!(refused, Err(HarmontError::Unauthorized)), "{refused:?}");
    let raw = client.raw().get_pipeline("acme", "nope").await;
    match raw {
        Err(error) => assert_eq!(error.status().map(|status| status.as_u16()), Some(404)),
        Ok(_) => return Err("a missing pipeline was found".into()),
    }
    Ok(())
}

async fn tokens_and_logins(client: &HarmontClient, url: &str) -> Outcome {
    let raw = client.raw();
    let plain = client.create_api_token("laptop").await?;
    let with_token = HarmontClient::with_base_url(plain, url);
    with_token.raw().get_current_user().await?;
    let body = types::ApiTokenCreateRequest {
        description: "desktop".to_owned(),
        expires_at: None,
        scopes: Some(vec!["full".to_owned()]),
    };
    let created = raw.create_api_token(&body).await?;
    assert_eq!(created.api_token.scopes, ["full"]);
    let listed = raw.list_api_tokens().await?;
    let id = created.api_token.id;
    assert!(listed.data.iter().any(|token| token.id == id));
    raw.revoke_api_token(&id.to_string()).await?;
    assert!(raw.list_api_tokens().await?.data.iter().all(|token| token.id != id));

    let anonymous = HarmontClient::anonymous(url);
    let code = raw.cli_code().await?;
    let session = anonymous.redeem_code(&code.code).await?;
    let again = anonymous.redeem_code(&code.code).await;
    assert!(
        matches!(&again, Err(HarmontError::Api { code, .. }) if code == "cli_code_invalid"),
        "{again:?}"
    );
    let nonce = "a nonce that the program chose".to_owned();
    raw.cli_transfer(&types::CliTransferRequest { nonce: nonce.clone() }).await?;
    anonymous.claim_token(&nonce).await?;
    let session = HarmontClient::with_base_url(session, url);
    session.raw().logout().await?;
    assert!(session.raw().get_current_user().await.is_err());
    Ok(())
}
