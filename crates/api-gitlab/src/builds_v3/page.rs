//! Lists in pages, with GitLab's headers.

use actix_web::HttpResponse;
use actix_web::http::header::LINK;
use serde::Serialize;

use slipway_farm::Slice;

use super::auth::Call;
use super::error::V3Error;

/// How many items a page has unless the client says otherwise.
const USUAL: u64 = 20;
/// How many it has at the most.
const MOST: u64 = 100;

/// Which page of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageOf {
    page: u64,
    per_page: u64,
}

impl PageOf {
    /// The page that a request asks for.
    ///
    /// # Errors
    /// `page is invalid` when it is no number.
    pub(crate) fn of(call: &Call) -> Result<Self, V3Error> {
        let page: Option<i64> = call.params.parsed("page")?;
        let per_page = call.params.given("per_page");
        let per_page = per_page.and_then(|text| text.parse::<i64>().ok());
        let per_page = per_page.and_then(|number| u64::try_from(number).ok());
        Ok(Self {
            page: page
                .and_then(|page| u64::try_from(page).ok())
                .unwrap_or(1)
                .max(1),
            per_page: match per_page {
                None | Some(0) => USUAL,
                Some(number) => number.min(MOST),
            },
        })
    }

    /// The part of the list that it is.
    pub(crate) fn slice(self) -> Slice {
        Slice {
            offset: self.offset(),
            limit: self.limit(),
        }
    }

    /// How many items come before it.
    pub(crate) fn offset(self) -> i64 {
        i64::try_from((self.page - 1).saturating_mul(self.per_page)).unwrap_or(i64::MAX)
    }

    /// How many items it has at the most.
    pub(crate) fn limit(self) -> i64 {
        i64::try_from(self.per_page).unwrap_or(i64::MAX)
    }

    /// Answers with one page of a list that has `total` items.
    pub(crate) fn answer<T: Serialize>(self, call: &Call, items: &[T], total: u64) -> HttpResponse {
        let pages = total.div_ceil(self.per_page).max(1);
        let next = (self.page < pages).then(|| self.page + 1);
        let previous = (self.page > 1).then(|| self.page - 1);
        let number = |page: Option<u64>| page.map(|page| page.to_string()).unwrap_or_default();
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

    /// Answers with one page of a list that is wholly at hand.
    pub(crate) fn cut<T: Serialize>(self, call: &Call, all: &[T]) -> HttpResponse {
        let start = usize::try_from(self.offset())
            .unwrap_or(usize::MAX)
            .min(all.len());
        let end = start.saturating_add(usize::try_from(self.limit()).unwrap_or(usize::MAX));
        let items = all.get(start..end.min(all.len())).unwrap_or_default();
        self.answer(call, items, all.len() as u64)
    }

    /// The address of another page of the same list, with everything that was asked for but what
    /// opens doors.
    fn url(self, call: &Call, page: u64) -> String {
        const OWN: [&str; 4] = ["page", "per_page", "private_token", "access_token"];
        let (page, per_page) = (page.to_string(), self.per_page.to_string());
        let mut pairs: Vec<(&str, &str)> = call
            .params
            .pairs()
            .filter(|(name, _)| !OWN.contains(name))
            .collect();
        pairs.extend([("page", page.as_str()), ("per_page", per_page.as_str())]);
        let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
        format!("{}{}?{query}", call.base(), call.http.uri().path())
    }
}
