//! BuildKit, with a session in which it asks for what a build needs.

pub(crate) mod file_sync;
pub(crate) mod secrets;
pub(crate) mod session;

use std::collections::HashMap;
use std::io;

use bollard::errors::Error;
use bollard::query_parameters::BuildImageOptions;
use futures_util::future::BoxFuture;

use crate::builder::Builder;
use crate::buildkit::secrets::Given;
use crate::buildkit::session::Session;
use crate::context::{Context, Packed};
use crate::engine::failures::engine_error;
use crate::engine::trace_writer::Narrator;
use crate::error::BuildError;
use crate::request::BuildRequest;

/// What says that the files are to be asked for in the session.
const CLIENT_SESSION: &str = "client-session";

impl Builder {
    /// Builds with BuildKit, which asks for the files, and for what is `given` to the build, when it
    /// needs them. Where a file has a name that cannot be said so, it gets an archive of all of them.
    pub(crate) async fn with_buildkit(
        &self,
        request: &BuildRequest,
        context: &Context,
        given: Given,
        options: BuildImageOptions,
        narrator: &mut Narrator<'_>,
    ) -> Result<Result<(), Error>, BuildError> {
        let agent = given.agent(&request.scratch).await?;
        let files = context.files(request.latest_change());
        let session = Session {
            logins: request.logins_to_pull(),
            secrets: given.secrets,
            agent: agent.as_ref().map(|agent| agent.socket().to_owned()),
            files: files.clone(),
        };
        let asking = BuildImageOptions {
            remote: Some(CLIENT_SESSION.to_owned()),
            dockerfile: files.dockerfile(),
            ..options.clone()
        };
        let ended = self
            .in_session(session.clone(), asking, None, narrator)
            .await?;
        match (ended, files.failure()) {
            (Err(_), Some(error)) if error.kind() == io::ErrorKind::InvalidFilename => {
                narrator.begin_again(&format!("{error}, so all files are sent in an archive"));
                let taking = BuildImageOptions {
                    dockerfile: context.dockerfile(),
                    ..options
                };
                let packed = context.pack(request.latest_change());
                self.in_session(session, taking, Some(packed), narrator)
                    .await
            }
            // The engine knows less of it.
            (Err(_), Some(error)) => Err(error.into()),
            (ended, _) => Ok(ended),
        }
    }

    async fn in_session(
        &self,
        session: Session,
        mut options: BuildImageOptions,
        context: Option<Packed>,
        narrator: &mut Narrator<'_>,
    ) -> Result<Result<(), Error>, BuildError> {
        // A session is for one build.
        let id = format!("{:032x}", rand::random::<u128>());
        let version = self.api();
        let opening: BoxFuture<'_, _> = Box::pin(session.open(self.endpoint(), &version, &id));
        let serving = opening.await.map_err(engine_error)?;
        options.session = Some(id);
        let call = self.call(options, HashMap::new(), context);
        let build: BoxFuture<'_, _> = Box::pin(call.run(|info| narrator.take(info)));
        Ok(tokio::select! {
            ended = build => ended,
            never = serving => match never {},
        })
    }
}
