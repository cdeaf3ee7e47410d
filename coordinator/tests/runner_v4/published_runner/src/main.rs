//! A runner that claims one job, runs its script in a shell, uploads one file and exits.

use std::borrow::Cow;

use futures::io::Cursor;
use gitlab_runner::job::Job;
use gitlab_runner::{GitlabLayer, JobHandler, JobResult, Phase, RunnerBuilder, UploadableFile, outputln};
use tracing_subscriber::prelude::*;

/// The artifact of every job.
struct OutputFile;

#[async_trait::async_trait]
impl UploadableFile for OutputFile {
    type Data<'a> = Cursor<&'static [u8]>;

    fn get_path(&self) -> Cow<'_, str> {
        "out/text".into()
    }

    async fn get_data(&self) -> Result<Self::Data<'_>, ()> {
        Ok(Cursor::new(b"written by the job".as_slice()))
    }
}

struct Shell {
    name: String,
}

#[async_trait::async_trait]
impl JobHandler<OutputFile> for Shell {
    async fn step(&mut self, script: &[String], _phase: Phase) -> JobResult {
        let mut shell = tokio::process::Command::new("sh");
        shell.arg("-ec").arg(script.join("\n"));
        shell.env("CI_JOB_NAME", &self.name);
        let output = shell.output().await.map_err(drop)?;
        outputln!("{}", String::from_utf8_lossy(&output.stdout).trim_end());
        output.status.success().then_some(()).ok_or(())
    }

    async fn get_uploadable_files(&mut self) -> Result<Box<dyn Iterator<Item = OutputFile> + Send>, ()> {
        Ok(Box::new(std::iter::once(OutputFile)))
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().expect("an address").parse().expect("a URL");
    let token = arguments.next().expect("a token");
    let dir = tempfile::tempdir().expect("a directory");
    let (layer, jobs) = GitlabLayer::new();
    tracing_subscriber::registry().with(layer).init();
    let runner = RunnerBuilder::new(server, token, dir.path(), jobs);
    let mut runner = runner.system_id("r_published").version("0.3.2").build().await;
    let shell = |job: Job| async move {
        let name = job.variable("CI_JOB_NAME").expect("a name");
        Ok(Shell {
            name: name.value().to_owned(),
        })
    };
    let claimed = runner.request_job(shell).await.expect("a response");
    assert!(claimed, "no job was claimed");
    runner.drain().await;
}
