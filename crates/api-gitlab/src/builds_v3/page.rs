//! Pagination, with GitLab's headers.

use actix_web::HttpResponse;
use actix_web::http::header::LINK;
use serde::Serialize;

use slipway_farm::Slice;

use super::auth::Call;
use super::error::V3Error;

const DEFAULT_PER_PAGE: u64 = 20;
const MAX_PER_PAGE: u64 = 100;

/// The requested page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest {
    page: u64,
    per_page: u64,
}

impl PageRequest {
    /// Reads the parameters `page` and `per_page`.
    ///
    /// # Errors
    /// `page is invalid` if it is not a number.
    pub(crate) fn from_call(call: &Call) -> Result<Self, V3Error> {
        let page: Option<i64> = call.params.parsed("page")?;
        // Unlike `page`, an invalid `per_page` is not an error: GitLab then uses the default.
        let per_page = call
            .params
            .non_empty("per_page")
            .and_then(|text| text.parse::<i64>().ok())
            .and_then(|number| u64::try_from(number).ok());
        Ok(Self {
            page: page
                .and_then(|page| u64::try_from(page).ok())
                .unwrap_or(1)
                .max(1),
            per_page: match per_page {
                None | Some(0) => DEFAULT_PER_PAGE,
                Some(number) => number.min(MAX_PER_PAGE),
            },
        })
    }

    /// The part of the list to read.
    pub(crate) fn slice(self) -> Slice {
        Slice {
            offset: self.offset(),
            limit: self.limit(),
        }
    }

    /// The number of items before the page.
    pub(crate) fn offset(self) -> i64 {
        i64::try_from((self.page - 1).saturating_mul(self.per_page)).unwrap_or(i64::MAX)
    }

    /// The largest number of items on the page.
    pub(crate) fn limit(self) -> i64 {
        i64::try_from(self.per_page).unwrap_or(i64::MAX)
    }

    /// Answers with the page's items, from a list of `total` items.
    pub(crate) fn answer<T: Serialize>(self, call: &Call, items: &[T], total: u64) -> HttpResponse {
        // An empty list has one page, so that the links `first` and `last` lead somewhere.
        let pages = total.div_ceil(self.per_page).max(1);
        let next = (self.page < pages).then(|| self.page + 1);
        let previous = (self.page > 1).then(|| self.page - 1);
        let number = |page: Option<u64>| page.map(|page| page.to_string()).unwrap_or_default();
        // python-gitlab follows `next` and ignores the other headers. The order is that of GitLab.
        let links = [
            (previous, "prev"),
            (next, "next"),
            (Some(1), "first"),
            (Some(pages), "last"),
        ];
        let links: Vec<String> = links
            .into_iter()
            .filter_map(|(page, rel)| Some(format!("<{}>; rel=\"{rel}\"", self.url(call, page?))))
            .collect();
        HttpResponse::Ok()
            .insert_header(("X-Total", total.to_string()))
            .insert_header(("X-Total-Pages", pages.to_string()))
            .insert_header(("X-Per-Page", self.per_page.to_string()))
            .insert_header(("X-Page", self.page.to_string()))
            .insert_header(("X-Next-Page", number(next)))
            .insert_header(("X-Prev-Page", number(previous)))
            .insert_header((LINK, links.join(", ")))
            .json(items)
    }

    /// Answers with the part of `all` that belongs to the page.
    pub(crate) fn answer_part<T: Serialize>(self, call: &Call, all: &[T]) -> HttpResponse {
        let start = usize::try_from(self.offset())
            .unwrap_or(usize::MAX)
            .min(all.len());
        let end = start.saturating_add(usize::try_from(self.limit()).unwrap_or(usize::MAX));
        // A page after the last one is empty, and not an error.
        let items = all.get(start..end.min(all.len())).unwrap_or_default();
        self.answer(call, items, all.len() as u64)
    }

    /// The URL of another page of the same list, with the request's other parameters but without
    /// tokens: clients log and store these URLs.
    fn url(self, call: &Call, page: u64) -> String {
        const LEFT_OUT: [&str; 4] = ["page", "per_page", "private_token", "access_token"];
        let (page, per_page) = (page.to_string(), self.per_page.to_string());
        let mut pairs: Vec<(&str, &str)> = call
            .params
            .pairs()
            .filter(|(name, _)| !LEFT_OUT.contains(name))
            .collect();
        pairs.extend([("page", page.as_str()), ("per_page", per_page.as_str())]);
        let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
        format!("{}{}?{query}", call.base_url(), call.http.uri().path())
    }
}
