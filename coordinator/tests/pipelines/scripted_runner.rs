//! A runner that a test drives, and pipelines for it.

#![expect(
    clippy::disallowed_methods,
    reason = "tests await or drop their tasks themselves"
)]

use slipway_definition::parse;
use slipway_domain::pipeline::Definition;
use slipway_domain::{FailureReason, JobSpec, RegistrationToken, ReportedResult, RunnerId};
use slipway_farm::{
    About, Build, ClaimedJob, Ended, Farm, MadeImage, Poll, PollAnswer, Report, Runner,
    RunnerRequest,
};
use slipway_testkit::TestFarm;
use tokio::task::JoinHandle;

/// A registered runner.
#[derive(Clone)]
pub(crate) struct ScriptedRunner {
    farm: Farm,
    runner: Runner,
}

impl ScriptedRunner {
    pub(crate) async fn of(farm: &TestFarm) -> Self {
        Self::with(farm, RunnerRequest::default()).await
    }

    /// A runner of ours with this processor architecture.
    pub(crate) async fn on(farm: &TestFarm, architecture: &str) -> Self {
        let request = RunnerRequest {
            heartbeat: true,
            about: About {
                architecture: Some(architecture.to_owned()),
                ..About::default()
            },
            ..RunnerRequest::default()
        };
        Self::with(farm, request).await
    }

    async fn with(farm: &TestFarm, request: RunnerRequest) -> Self {
        let token = RegistrationToken::presented(&farm.registration_token);
        let request = RunnerRequest {
            run_untagged: true,
            ..request
        };
        let farm = farm.farm().clone();
        let (_, token) = farm.register_runner(&token, request).await.unwrap();
        let runner = farm.runner_by_token(&token).await.unwrap();
        Self { farm, runner }
    }

    pub(crate) fn id(&self) -> RunnerId {
        self.runner.id
    }

    /// The same runner at another coordinator.
    pub(crate) fn at(&self, farm: &Farm) -> Self {
        Self {
            farm: farm.clone(),
            runner: self.runner.clone(),
        }
    }

    /// Unregisters the runner.
    pub(crate) async fn leave(&self) {
        self.farm.unregister_runner(&self.runner).await.unwrap();
    }

    /// Polls until there is a job.
    pub(crate) async fn next(&self) -> ClaimedJob {
        let mut last_value = None;
        loop {
            let poll = Poll {
                last_value: last_value.take(),
                ..Poll::default()
            };
            match self.farm.poll(&self.runner, poll).await.unwrap() {
                PollAnswer::Job(job) => return *job,
                PollAnswer::Nothing { value } => last_value = Some(value),
                PollAnswer::Paused => panic!("the runner is paused"),
            }
        }
    }

    /// Claims a job, if there is one.
    pub(crate) async fn claim(&self) -> Option<ClaimedJob> {
        match self.farm.poll(&self.runner, Poll::default()).await.unwrap() {
            PollAnswer::Job(job) => Some(*job),
            PollAnswer::Nothing { .. } => None,
            PollAnswer::Paused => panic!("the runner is paused"),
        }
    }

    /// Starts a held poll for a job; there must not be one yet. The poll that gets the queue value has
    /// ended, so that this is the only one of the runner that can be parked.
    pub(crate) async fn hold(&self) -> JoinHandle<Option<ClaimedJob>> {
        let told = self.farm.poll(&self.runner, Poll::default()).await.unwrap();
        let PollAnswer::Nothing { value } = told else {
            panic!("a job is already pending");
        };
        let held = Poll {
            last_value: Some(value),
            ..Poll::default()
        };
        let runner = self.clone();
        tokio::spawn(async move {
            match runner.farm.poll(&runner.runner, held).await.unwrap() {
                PollAnswer::Job(job) => Some(*job),
                PollAnswer::Nothing { .. } | PollAnswer::Paused => None,
            }
        })
    }

    /// Claims the next job, which must have this name.
    pub(crate) async fn claim_named(&self, name: &str) -> ClaimedJob {
        let claimed = self
            .claim()
            .await
            .unwrap_or_else(|| panic!("no job {name}"));
        assert_eq!(claimed.job.name, name);
        claimed
    }

    /// Reports success, with a pushed image if the job builds one.
    pub(crate) async fn succeed(&self, claimed: ClaimedJob) {
        let pushed = match &claimed.job.spec {
            JobSpec::ImageBuild(spec) => spec.repository.as_ref().zip(Some(&spec.tags)),
            JobSpec::ImageIndex(spec) => spec.repository.as_ref().zip(Some(&spec.tags)),
            JobSpec::Script(_) => None,
        };
        let image = pushed.map(|(repository, tags)| MadeImage {
            reference: Some(repository.tagged(&tags[0])),
            digest: format!("sha256:{:064x}", claimed.job.id.0),
            tags: tags.clone(),
            details: Default::default(),
            size_bytes: 1,
        });
        self.end(claimed, ReportedResult::Succeeded, image).await;
    }

    /// Reports success without anything that the job made.
    pub(crate) async fn succeed_without_image(&self, claimed: ClaimedJob) {
        self.end(claimed, ReportedResult::Succeeded, None).await;
    }

    pub(crate) async fn fail(&self, claimed: ClaimedJob) {
        let why = ReportedResult::Failed(FailureReason::JobFailed);
        self.end(claimed, why, None).await;
    }

    async fn end(&self, claimed: ClaimedJob, result: ReportedResult, image: Option<MadeImage>) {
        let ended = Ended {
            build_steps: Vec::new(),
            exit_code: None,
            result,
            message: None,
            trace: None,
            image,
        };
        let report = Report {
            ended: Some(ended),
            ..Report::default()
        };
        let reported = self.farm.report(&self.runner, claimed.job.id, report);
        reported.await.unwrap();
    }
}

/// The definition in the text of a `.slipway.yml`.
pub(crate) fn pipeline(text: &str) -> Definition {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The latest attempts of a build's jobs, as `name: state`, by name.
pub(crate) async fn states(farm: &TestFarm, build: &Build) -> Vec<String> {
    let jobs = farm.jobs(build).await;
    let mut states: Vec<String> = jobs
        .iter()
        .filter(|job| !job.superseded)
        .map(|job| format!("{}: {}", job.name, job.state.name()))
        .collect();
    states.sort();
    states
}
