//! The text of a build, as it comes.

use std::time::Duration;

use actix_web::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use slipway_farm::{Build, BuildText, Farm, FarmError};
use tokio::time::timeout;

use crate::error::ConveyorError;
use crate::extract::{PerhapsCaller, identity};

/// How long the stream is silent at the most; what idles longer is cut by some proxies.
const SIGN_OF_LIFE: Duration = Duration::from_secs(25);
/// Clients write this to a terminal, which shows nothing of it.
const NOTHING: &[u8] = b"\0";
/// What stands at the end of a text that is not whole because its reader was too slow.
const TOO_SLOW: &str = "\n[the log was not read fast enough and is cut off here]\n";

type Answer = Result<HttpResponse, ConveyorError>;

/// `GET /logs/{uuid}`, `GET /logs/{owner}/{name}@{sha}`: the text of a build from its beginning,
/// until the build is over. One that has not begun is waited for.
///
/// 200; 401, also without a credential unless everybody sees the project's builds; 404.
pub(crate) async fn follow(farm: Data<Farm>, caller: PerhapsCaller, http: HttpRequest) -> Answer {
    let build = shown(&farm, &caller, &http).await?;
    let text = told(farm.follow_build(build.id)).boxed();
    Ok(answer().streaming(with_signs_of_life(text, SIGN_OF_LIFE)))
}

/// `HEAD /logs/…`: as GET, at once and without the text.
///
/// 200; 401; 404.
pub(crate) async fn head(farm: Data<Farm>, caller: PerhapsCaller, http: HttpRequest) -> Answer {
    shown(&farm, &caller, &http).await?;
    Ok(answer().finish())
}

async fn shown(
    farm: &Farm,
    caller: &PerhapsCaller,
    http: &HttpRequest,
) -> Result<Build, ConveyorError> {
    let identity = identity(http);
    let (_, build) = match &caller.0 {
        Some(actor) => farm.find_build(actor, &identity?).await?,
        None => {
            // Who says nothing of oneself does not learn what a name should look like either.
            let identity = identity.map_err(|_| FarmError::BadToken)?;
            farm.find_public_build(&identity).await?
        }
    };
    Ok(build)
}

fn answer() -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/plain; charset=utf-8")
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"));
    answer
}

/// The text, in which a reader that is too slow is told so before it is cut short.
fn told(
    text: impl Stream<Item = Result<BuildText, FarmError>>,
) -> impl Stream<Item = Result<Bytes, FarmError>> {
    text.flat_map(|item| {
        let items = match item {
            Ok(BuildText::Bytes(bytes)) => vec![Ok(bytes)],
            Ok(BuildText::Lagged) => {
                let why = FarmError::Unavailable("a reader of a log was too slow".to_owned());
                vec![Ok(Bytes::from_static(TOO_SLOW.as_bytes())), Err(why)]
            }
            Err(error) => vec![Err(error)],
        };
        stream::iter(items)
    })
}

/// Adds a byte that shows nothing wherever the text is silent for `every`. A failure cuts the body
/// short, so that nobody takes it for whole.
fn with_signs_of_life(
    text: impl Stream<Item = Result<Bytes, FarmError>> + Unpin + 'static,
    every: Duration,
) -> impl Stream<Item = Result<Bytes, ConveyorError>> {
    stream::unfold(text, move |mut text| async move {
        let item = match timeout(every, text.next()).await {
            Err(_) => Ok(Bytes::from_static(NOTHING)),
            Ok(None) => return None,
            Ok(Some(Ok(bytes))) => Ok(bytes),
            Ok(Some(Err(error))) => {
                error.log();
                Err(ConveyorError::Farm(error))
            }
        };
        Some((item, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;

    #[actix_web::test]
    async fn silence_is_broken_by_a_byte_that_shows_nothing() {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        let text = stream::unfold(receiver, |mut receiver| async move {
            Some((Ok(receiver.recv().await?), receiver))
        });
        let mut shown = Box::pin(with_signs_of_life(text.boxed(), Duration::from_millis(20)));
        sender.send(Bytes::from_static(b"a")).await.unwrap();
        assert_eq!(shown.try_next().await.unwrap().unwrap(), "a");
        assert_eq!(shown.try_next().await.unwrap().unwrap(), NOTHING);
        assert_eq!(shown.try_next().await.unwrap().unwrap(), NOTHING);
        sender.send(Bytes::from_static(b"b")).await.unwrap();
        drop(sender);
        let rest: Vec<Bytes> = shown.try_collect().await.unwrap();
        assert_eq!(rest.concat(), b"b");
    }
}
