//! A runner that does what a test says.

use bytes::Bytes;
use slipway_domain::{FailureReason, ImageBuild, JobSpec, RegistrationToken, ReportedResult};
use slipway_farm::{
    ClaimedJob, Ended, Farm, MadeImage, Poll, PollAnswer, Report, Runner, RunnerRequest,
};
use slipway_testkit::TestFarm;

/// A registered runner.
pub(crate) struct Hands {
    farm: Farm,
    runner: Runner,
}

/// A job in its hands.
pub(crate) struct Work<'a> {
    hands: &'a Hands,
    pub(crate) job: ClaimedJob,
    written: u64,
}

impl Hands {
    pub(crate) async fn of(farm: &TestFarm) -> Self {
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

    /// Claims the job that there is.
    pub(crate) async fn claim(&self) -> Work<'_> {
        match self.farm.poll(&self.runner, Poll::default()).await.unwrap() {
            PollAnswer::Job(job) => Work {
                hands: self,
                job: *job,
                written: 0,
            },
            PollAnswer::Nothing { .. } | PollAnswer::Paused => panic!("there is no job"),
        }
    }
}

impl Work<'_> {
    /// What is to be built.
    pub(crate) fn spec(&self) -> &ImageBuild {
        match &self.job.job.spec {
            JobSpec::ImageBuild(image) => image,
            _ => panic!("no image build"),
        }
    }

    /// Appends to the trace.
    pub(crate) async fn say(&mut self, text: impl Into<Bytes>) {
        let (id, bytes) = (self.job.job.id, text.into());
        let end = self.written + bytes.len() as u64;
        let farm = &self.hands.farm;
        let access = farm.job_access(id, &self.job.token).await.unwrap();
        let appended = farm.append_trace(&access, self.written, bytes);
        assert_eq!(appended.await.unwrap().length, end);
        self.written = end;
    }

    /// Ends the job with its image pushed.
    pub(crate) async fn succeed(self) {
        let spec = self.spec().clone();
        let image = spec.repository.map(|repository| MadeImage {
            reference: Some(repository.tagged(&spec.tags[0])),
            digest: format!("sha256:{:064x}", self.job.job.id.0),
            tags: spec.tags,
            details: Default::default(),
            size_bytes: 1,
        });
        self.end(ReportedResult::Succeeded, image).await;
    }

    /// Ends the job because a step failed.
    pub(crate) async fn fail(self) {
        let why = ReportedResult::Failed(FailureReason::BuildFailed);
        self.end(why, None).await;
    }

    async fn end(self, result: ReportedResult, image: Option<MadeImage>) {
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
        let hands = self.hands;
        let reported = hands.farm.report(&hands.runner, self.job.job.id, report);
        reported.await.unwrap();
    }
}
