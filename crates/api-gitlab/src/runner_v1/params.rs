//! Parameters and ids of requests.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;
use slipway_domain::JobId;

use super::error::RunnerV1Error;
use crate::params::read_params;

/// The parameters of a request, in its body or query.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Params<T> {
    type Error = RunnerV1Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, RunnerV1Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { Ok(Params(read_params(&request, payload).await?)) })
    }
}

/// The job id in a path, with or without `.json`; `None` if it is invalid. Runners send `-1` as a
/// probe.
pub(crate) fn job_id(segment: &str) -> Option<JobId> {
    let id: JobId = segment
        .strip_suffix(".json")
        .unwrap_or(segment)
        .parse()
        .ok()?;
    (id.0 > 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_are_read_with_and_without_a_suffix() {
        assert_eq!(job_id("42.json"), Some(JobId(42)));
        assert_eq!(job_id("42"), Some(JobId(42)));
        for bad in ["-1", "0", "x", "", "4.2", "99999999999999999999"] {
            assert_eq!(job_id(bad), None, "{bad}");
        }
    }
}
