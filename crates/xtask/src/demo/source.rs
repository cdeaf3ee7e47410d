//! The repository that is built. `git http-backend` serves it through CGI, with the web server of the
//! same `busybox` that is in the base image.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tokio::process::Command;

use super::work_dir::WorkDir;
use crate::process::{ChildProcess, Lifetime, find_program, free_port, output_of, service};
use crate::{probe, setup};

/// What the image of each commit prints.
pub(super) const GREETINGS: [&str; 2] = ["Hello, world!", "Hello, everybody!"];

/// The served repository, with a work tree.
#[derive(Debug)]
pub(super) struct Source {
    running: ChildProcess,
    port: u16,
    home: PathBuf,
    work: PathBuf,
    dockerfile: String,
}

impl Source {
    /// Serves a repository with one commit, whose image is built on `base`.
    pub(super) async fn start(work_dir: &WorkDir, lifetime: Lifetime, base: &str) -> Result<Self> {
        let git = setup::program("git", "git").await?;
        let home = work_dir.create_dir("git")?;
        let (served, work) = (
            work_dir.create_dir("git/served")?,
            work_dir.create_dir("git/work")?,
        );
        let programs = work_dir.create_dir("git/www/cgi-bin")?;
        let backend = programs.join("git");
        fs::write(
            &backend,
            format!("#!/bin/sh\nexec {} http-backend\n", git.display()),
        )?;
        fs::set_permissions(&backend, fs::Permissions::from_mode(0o755))?;

        let (port, log) = (free_port()?, work_dir.log("git"));
        let busybox = find_program("busybox").context("busybox is not installed")?;
        let mut command = service(busybox, lifetime, &log)?;
        command
            .args([
                "httpd",
                "-f",
                "-vv",
                "-p",
                &format!("127.0.0.1:{port}"),
                "-h",
            ])
            .arg(home.join("www"))
            .env("GIT_PROJECT_ROOT", &served)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("HOME", &home)
            .env("GIT_CONFIG_NOSYSTEM", "1");
        let running = ChildProcess::start(command, Signal::SIGTERM, Duration::from_secs(5))?;
        let mut source = Self {
            running,
            port,
            home,
            work,
            dockerfile: dockerfile(base),
        };
        source
            .git(&["init", "--quiet", "--initial-branch=main"])
            .await?;
        let bare = served.join("hello.git");
        let bare = bare.to_str().context("the directory's name is not UTF-8")?;
        source
            .git(&["init", "--quiet", "--bare", "--initial-branch=main", bare])
            .await?;
        source.git(&["remote", "add", "origin", bare]).await?;
        source.commit(GREETINGS[0], "Greet the world").await?;
        let ready = || async {
            let path = "/cgi-bin/git/hello.git/info/refs?service=git-upload-pack";
            let status = probe::http(port, "GET", path).await?;
            ensure!(
                status == 200,
                "the git server answered with status {status}"
            );
            Ok(())
        };
        probe::until_ready(&mut source.running, &log, Duration::from_secs(20), ready)
            .await
            .context("the git server did not start")?;
        Ok(source)
    }

    /// The URL for `git clone`.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/cgi-bin/git/hello.git", self.port)
    }

    /// The Dockerfile of every commit.
    pub(super) fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// Commits and pushes a greeting, and returns the commit's id.
    pub(super) async fn commit(&self, greeting: &str, message: &str) -> Result<String> {
        fs::write(self.work.join("Dockerfile"), &self.dockerfile)?;
        fs::write(self.work.join("greeting.txt"), format!("{greeting}\n"))?;
        self.git(&["add", "--all"]).await?;
        self.git(&["commit", "--quiet", "--message", message])
            .await?;
        self.git(&["push", "--quiet", "origin", "main"]).await?;
        let sha = self.git(&["rev-parse", "HEAD"]).await?;
        Ok(sha.trim().to_owned())
    }

    /// Git, without the user's own configuration.
    async fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=Demo", "-c", "user.email=demo@example.com"])
            .args(arguments)
            .current_dir(&self.work)
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("XDG_CONFIG_HOME");
        output_of(&mut command).await
    }

    pub(super) fn running(&self) -> &ChildProcess {
        &self.running
    }

    /// Leaves the server running.
    pub(super) fn detach(self) {
        self.running.detach();
    }
}

/// A few steps. The first one does not depend on what the commits change.
fn dockerfile(base: &str) -> String {
    format!(
        "FROM {base}\n\
         WORKDIR /hello\n\
         RUN echo Counting the tools of the base image && ls /bin | wc -l > tools\n\
         COPY greeting.txt .\n\
         RUN cat greeting.txt > page && echo \"This image has $(cat tools) tools.\" >> page\n\
         CMD [\"cat\", \"/hello/page\"]\n"
    )
}
