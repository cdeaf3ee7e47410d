//! The shapes of the native API, by subject. They only grow; requests refuse members that they do
//! not know, so that a typing error is noticed.

mod builds;
mod deploy_keys;
mod page;
mod people;
mod projects;
mod runners;

pub(crate) use builds::*;
pub(crate) use deploy_keys::*;
pub(crate) use page::{Listing, PageQuery};
pub(crate) use people::*;
pub(crate) use projects::*;
pub(crate) use runners::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request failed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The failure.
    pub(crate) error: ErrorDetail,
}

/// Why a request failed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// A word for programs.
    #[schema(example = "not_found")]
    pub(crate) code: String,
    /// A sentence for people.
    #[schema(example = "no such project")]
    pub(crate) message: String,
}

/// Tells a member that is null from one that is absent.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
