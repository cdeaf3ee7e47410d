//! Pagination, with GitLab's headers.
//!
//! A page number says how many rows to step over, so the cost of a page grows with its number. The link to the
//! next page therefore also has a cursor, with which the database finds the page at once.

use actix_web::HttpResponse;
use actix_web::http::header::LINK;
use serde::Serialize;

use slipway_farm::{Part, Slice};

use super::auth::Call;
use super::error::V3Error;

const DEFAULT_PER_PAGE: u64 = 20;
const MAX_PER_PAGE: u64 = 100;
/// The longest list whose length is shown: as in GitLab, a longer one has neither `X-Total` nor a link to its
/// last page.
const MAX_TOTAL: i64 = 10_000;

/// The requested page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageRequest {
    page: u64,
    per_page: u64,
    /// The id of the last item of the page before.
    before: Option<i64>,
}

/// What is known about the list that a page belongs to.
#[derive(Clone, Copy, Debug)]
struct Place {
    has_next: bool,
    /// Absent if the list is too long to count.
    total: Option<u64>,
    /// The id of the last item of the page, if the next page can start from there.
    last_id: Option<i64>,
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
        let mut request = Self {
            page: page
                .and_then(|page| u64::try_from(page).ok())
                .unwrap_or(1)
                .max(1),
            per_page: match per_page {
                None | Some(0) => DEFAULT_PER_PAGE,
                Some(number) => number.min(MAX_PER_PAGE),
            },
            before: None,
        };
        // A client may have changed the number of the page in a link: then the cursor is of another one.
        let cursor = call.params.non_empty("cursor");
        let cursor = cursor.and_then(|cursor| cursor.split_once('-'));
        request.before = cursor
            .filter(|(offset, _)| offset.parse() == Ok(request.offset()))
            .and_then(|(_, id)| id.parse().ok());
        Ok(request)
    }

    /// The part of the list to read.
    pub(crate) fn slice(self) -> Slice {
        Slice {
            offset: self.offset(),
            before: self.before,
            limit: self.limit(),
            count_to: MAX_TOTAL,
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
        let place = Place {
            has_next: self.page < self.pages(total),
            total: Some(total),
            last_id: None,
        };
        self.respond(call, items, place)
    }

    /// Answers with `part`, shown as `items`. `id` is what its list is sorted by.
    pub(crate) fn answer_listed<T: Serialize, R>(
        self,
        call: &Call,
        items: &[T],
        part: &Part<R>,
        id: impl Fn(&R) -> i64,
    ) -> HttpResponse {
        let place = Place {
            has_next: part.has_more,
            total: part.total,
            last_id: part.rows.last().map(id),
        };
        self.respond(call, items, place)
    }

    /// How many pages a list has. An empty one has one page, so that the links `first` and `last` lead
    /// somewhere.
    fn pages(self, total: u64) -> u64 {
        total.div_ceil(self.per_page).max(1)
    }

    fn respond<T: Serialize>(self, call: &Call, items: &[T], place: Place) -> HttpResponse {
        let pages = place.total.map(|total| self.pages(total));
        let next = place.has_next.then(|| self.page.saturating_add(1));
        let previous = (self.page > 1).then(|| self.page - 1);
        let number = |page: Option<u64>| page.map(|page| page.to_string()).unwrap_or_default();
        let end = self.page.saturating_mul(self.per_page);
        let cursor = place.last_id.map(|id| format!("{end}-{id}"));
        // python-gitlab follows `next` and ignores the other headers. The order is that of GitLab.
        let links = [
            (previous, "prev", None),
            (next, "next", cursor),
            (Some(1), "first", None),
            (pages, "last", None),
        ];
        let links: Vec<String> = links
            .into_iter()
            .filter_map(|(page, rel, cursor)| {
                let url = self.url(call, page?, cursor.as_deref());
                Some(format!("<{url}>; rel=\"{rel}\""))
            })
            .collect();
        let mut response = HttpResponse::Ok();
        if let (Some(total), Some(pages)) = (place.total, pages) {
            response
                .insert_header(("X-Total", total.to_string()))
                .insert_header(("X-Total-Pages", pages.to_string()));
        }
        response
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
    fn url(self, call: &Call, page: u64, cursor: Option<&str>) -> String {
        const LEFT_OUT: [&str; 5] = [
            "page",
            "per_page",
            "cursor",
            "private_token",
            "access_token",
        ];
        let (page, per_page) = (page.to_string(), self.per_page.to_string());
        let mut pairs: Vec<(&str, &str)> = call
            .params
            .pairs()
            .filter(|(name, _)| !LEFT_OUT.contains(name))
            .collect();
        pairs.extend([("page", page.as_str()), ("per_page", per_page.as_str())]);
        pairs.extend(cursor.map(|cursor| ("cursor", cursor)));
        let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
        format!("{}{}?{query}", call.base_url(), call.http.uri().path())
    }
}
