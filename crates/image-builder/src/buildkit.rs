//! BuildKit, with a session in which it requests what a build needs.

pub(crate) mod file_sync;
pub(crate) mod secrets;
pub(crate) mod session;

use std::collections::HashMap;
use std::io;

use bollard::errors::Error;
use bollard::query_parameters::BuildImageOptions;
use futures_util::future::BoxFuture;

use self::secrets::BuildSecrets;
use self::session::Session;
use crate::builder::Builder;
use crate::context::{Context, PackedContext};
use crate::engine::failures::engine_error;
use crate::engine::trace_writer::TraceWriter;
use crate::error::BuildError;
use crate::request::BuildRequest;

/// The value of the `remote` option that makes BuildKit request the files in the session.
const CLIENT_SESSION: &str = "client-session";

impl Builder {
    /// Builds with BuildKit, which requests files and secrets when a step needs them. If a file
    /// name cannot be sent in that protocol, the build starts over with an archive of the whole
    /// context.
    ///
    /// The outer error is one of this host, the inner one comes from the engine.
    pub(crate) async fn build_with_buildkit(
        &self,
        request: &BuildRequest,
        context: &Context,
        secrets: BuildSecrets,
        options: BuildImageOptions,
        trace: &mut TraceWriter<'_>,
    ) -> Result<Result<(), Error>, BuildError> {
        let agent = secrets.start_agent(&request.scratch).await?;
        let files = context.files(request.latest_change());
        let session = Session {
            logins: request.logins_to_pull(),
            secrets: secrets.values,
            agent: agent.as_ref().map(|agent| agent.socket().to_owned()),
            files: files.clone(),
        };
        let on_request = BuildImageOptions {
            remote: Some(CLIENT_SESSION.to_owned()),
            dockerfile: files.dockerfile(),
            ..options.clone()
        };
        let result = self
            .build_in_session(session.clone(), on_request, None, trace)
            .await?;
        match (result, files.failure()) {
            (Err(_), Some(error)) if error.kind() == io::ErrorKind::InvalidFilename => {
                trace.restart(&format!("{error}, so all files are sent in an archive"));
                let as_archive = BuildImageOptions {
                    dockerfile: context.dockerfile(),
                    ..options
                };
                let packed = context.pack(request.latest_change());
                self.build_in_session(session, as_archive, Some(packed), trace)
                    .await
            }
            // The engine got only the text of this error.
            (Err(_), Some(error)) => Err(error.into()),
            (result, _) => Ok(result),
        }
    }

    async fn build_in_session(
        &self,
        session: Session,
        mut options: BuildImageOptions,
        context: Option<PackedContext>,
        trace: &mut TraceWriter<'_>,
    ) -> Result<Result<(), Error>, BuildError> {
        // A session belongs to one build: it serves the secrets of that build.
        let id = format!("{:032x}", rand::random::<u128>());
        let api_version = self.api_version();
        let opening: BoxFuture<'_, _> = Box::pin(session.open(self.endpoint(), &api_version, &id));
        let serving = opening.await.map_err(engine_error)?;
        options.session = Some(id);
        // BuildKit gets its logins from the session.
        let call = self.build_call(options, HashMap::new(), context);
        let build: BoxFuture<'_, _> = Box::pin(call.run(|info| trace.handle(info)));
        Ok(tokio::select! {
            result = build => result,
            never = serving => match never {},
        })
    }
}
