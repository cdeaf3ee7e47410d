//! The shapes of the native API, by subject. They only grow; requests refuse members that they do
//! not know, so that a typing error is noticed.

mod builds;
mod deploy_keys;
mod people;
mod projects;
mod runners;

pub(crate) use builds::*;
pub(crate) use deploy_keys::*;
pub(crate) use people::*;
pub(crate) use projects::*;
pub(crate) use runners::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::{Cursor, PageQuery};

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

/// A page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// What to send as `before` for the next page; null on the last one.
    pub(crate) next: Option<String>,
}

impl<T> Listing<T> {
    /// A list that has one page.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// Cuts `rows`, read with [`PageQuery::page`], to the page that was asked for.
    pub(crate) fn page<R>(
        mut rows: Vec<R>,
        query: &PageQuery,
        key: impl Fn(&R) -> i64,
        convert: impl FnMut(R) -> T,
    ) -> Self {
        let limit = query.limit();
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Cursor(key(row)).to_string());
        Self {
            items: rows.into_iter().map(convert).collect(),
            next: last.filter(|_| more),
        }
    }
}

/// Tells a member that is null from one that is absent.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
