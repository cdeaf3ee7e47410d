//! A runner that claims jobs and reports the results that a test chooses.

use bytes::Bytes;
use slipway_domain::{FailureReason, ImageBuild, JobSpec, RegistrationToken, ReportedResult};
use slipway_farm::{
    ClaimedJob, Ended, Farm, MadeImage, Poll, PollAnswer, Report, Runner, RunnerRequest,
};
use slipway_testkit::TestFarm;

/// A registered runner.
pub(crate) struct ScriptedRunner {
    farm: Farm,
    runner: Runner,
}

/// A claimed job.
pub(crate) struct Claim<'a> {
    runner: &'a ScriptedRunner,
    pub(crate) job: ClaimedJob,
    written: u64,
}

impl ScriptedRunner {
    /// Registers a runner that takes jobs without tags.
    pub(crate) async fn register(farm: &TestFarm) -> Self {
        let token = RegistrationToken::presented(&farm.registration_token);
        let request = RunnerRequest {
            run_untagged: true,
            ..RunnerRequest::default()
        };
        let farm = farm.farm().clone();
        let (_, token) = farm.register_runner(&token, request).await.unwrap();
        let runner = farm.runner_by_token(&token).await.unwrap();
        Self { farm, runner }
    }

    /// Claims the pending job.
    pub(crate) async fn claim(&self) -> Claim<'_> {
        match self.farm.poll(&self.runner, Poll::default()).await.unwrap() {
            PollAnswer::Job(job) => Claim {
                runner: self,
                job: *job,
                written: 0,
            },
            PollAnswer::Nothing { .. } | PollAnswer::Paused => panic!("no job is pending"),
        }
    }
}

impl Claim<'_> {
    /// The image that the job builds.
    pub(crate) fn spec(&self) -> &ImageBuild {
        match &self.job.job.spec {
            JobSpec::ImageBuild(image) => image,
            _ => panic!("the job does not build an image"),
        }
    }

    /// Appends to the trace.
    pub(crate) async fn append_trace(&mut self, text: impl Into<Bytes>) {
        let (id, bytes) = (self.job.job.id, text.into());
        let end = self.written + bytes.len() as u64;
        let farm = &self.runner.farm;
        let access = farm.job_access(id, &self.job.token).await.unwrap();
        let appended = farm.append_trace(&access, self.written, bytes);
        assert_eq!(appended.await.unwrap().length, end);
        self.written = end;
    }

    /// Reports success and the pushed image.
    pub(crate) async fn succeed(self) {
        let spec = self.spec().clone();
        let image = spec.repository.map(|repository| MadeImage {
            reference: Some(repository.tagged(&spec.tags[0])),
            digest: format!("sha256:{:064x}", self.job.job.id.0),
            tags: spec.tags,
            details: Default::default(),
            size_bytes: 1,
        });
        self.report(ReportedResult::Succeeded, image).await;
    }

    /// Reports that a step of the Dockerfile failed.
    pub(crate) async fn fail(self) {
        let result = ReportedResult::Failed(FailureReason::BuildFailed);
        self.report(result, None).await;
    }

    async fn report(self, result: ReportedResult, image: Option<MadeImage>) {
        let ended = Ended {
            result,
            message: None,
            trace: None,
            image,
            build_steps: Vec::new(),
            exit_code: None,
        };
        let report = Report {
            ended: Some(ended),
            ..Report::default()
        };
        let runner = self.runner;
        let reported = runner.farm.report(&runner.runner, self.job.job.id, report);
        reported.await.unwrap();
    }
}
