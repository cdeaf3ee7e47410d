//! Request and response types of the native API, by topic.
//!
//! They only grow, because clients of other versions use them. Requests with unknown fields are
//! rejected, so that a misspelled field is not ignored. The doc comments of types and fields are the
//! descriptions in the OpenAPI document.

mod accounts;
mod builds;
mod deploy_keys;
mod page;
mod parse;
pub(crate) mod paths;
mod projects;
mod runners;
pub(crate) mod schemas;
mod status;

pub(crate) use accounts::*;
pub(crate) use builds::*;
pub(crate) use deploy_keys::*;
pub(crate) use page::{Listing, PageQuery};
pub(crate) use projects::*;
pub(crate) use runners::*;
use serde::{Deserialize, Serialize};
pub(crate) use status::*;
use utoipa::ToSchema;

/// An error response.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// The code of the error, for programs.
    #[schema(example = "not_found")]
    pub(crate) code: String,
    /// The description of the error, for people.
    #[schema(example = "no such project")]
    pub(crate) message: String,
}
