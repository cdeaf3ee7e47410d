//! Query parameters. The first value of a name counts; unknown names are ignored.

use actix_web::HttpRequest;
use chrono::{DateTime, Utc};

use crate::error::QuayError;

/// The number of builds in a list without `limit`.
const DEFAULT_LIMIT: i64 = 5;

/// The query parameters of a request.
pub(crate) struct Query(slipway_http::Query);

impl Query {
    pub(crate) fn new(request: &HttpRequest) -> Self {
        Self(slipway_http::Query::parse(request.query_string()))
    }

    /// The first value of a parameter.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.0.first(name)
    }

    fn integer(&self, name: &'static str, help: &'static str) -> Result<Option<i64>, QuayError> {
        self.first(name)
            .map(|text| text.parse().map_err(|_| QuayError::Parameter(name, help)))
            .transpose()
    }

    /// The maximum number of builds in a list; `None` for no limit.
    ///
    /// # Errors
    /// If it is not a whole number, or is negative.
    pub(crate) fn limit(&self) -> Result<Option<u32>, QuayError> {
        const HELP: &str = "The maximum number of builds to return, a whole number from 0";
        match self.integer("limit", HELP)?.unwrap_or(DEFAULT_LIMIT) {
            // Quay takes 0 for "all".
            0 => Ok(None),
            limit if limit > 0 => Ok(Some(u32::try_from(limit).unwrap_or(u32::MAX))),
            _ => Err(QuayError::Parameter("limit", HELP)),
        }
    }

    /// The earliest creation time of the wanted builds.
    ///
    /// # Errors
    /// If it is not a whole number, or out of range.
    pub(crate) fn since(&self) -> Result<Option<DateTime<Utc>>, QuayError> {
        const HELP: &str = "Returns builds created since this Unix time, in whole seconds";
        let seconds = self.integer("since", HELP)?;
        let time = |seconds| {
            let time = DateTime::from_timestamp(seconds, 0);
            time.ok_or(QuayError::Parameter("since", HELP))
        };
        seconds.map(time).transpose()
    }

    /// The index of the first wanted log entry; a negative one counts from the end.
    ///
    /// # Errors
    /// If it is not a whole number.
    pub(crate) fn start(&self) -> Result<i64, QuayError> {
        const HELP: &str = "The index of the first log entry to return, a whole number";
        Ok(self.integer("start", HELP)?.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query(slipway_http::Query::parse(text))
    }

    #[test]
    fn the_first_value_counts_and_must_be_a_whole_number() {
        assert_eq!(query("").limit().unwrap(), Some(5));
        assert_eq!(query("limit=0").limit().unwrap(), None);
        assert_eq!(query("limit=7&limit=x").limit().unwrap(), Some(7));
        assert_eq!(query("start=-2").start().unwrap(), -2);
        let since = query("since=60").since().unwrap().unwrap();
        assert_eq!(since.timestamp(), 60);
        for invalid in ["limit=", "limit=abc", "limit=2.5", "limit=-1"] {
            assert!(query(invalid).limit().is_err(), "{invalid}");
        }
        for invalid in ["since=", "since=abc", "since=99999999999999999"] {
            assert!(query(invalid).since().is_err(), "{invalid}");
        }
    }
}
