//! Parameters of a query: the first of a name counts, and those that are unknown do not.

use actix_web::HttpRequest;
use chrono::{DateTime, Utc};

use crate::error::QuayError;

/// How many builds a list has unless the client says otherwise.
const USUAL_LIMIT: i64 = 5;

/// The query of a request.
pub(crate) struct Query(slipway_http::Query);

impl Query {
    pub(crate) fn of(request: &HttpRequest) -> Self {
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

    /// How many builds a list has at the most; `None` lifts the limit.
    ///
    /// # Errors
    /// When it is no number, or below 0.
    pub(crate) fn limit(&self) -> Result<Option<u32>, QuayError> {
        const HELP: &str = "The maximum number of builds to return, a whole number from 0";
        match self.integer("limit", HELP)?.unwrap_or(USUAL_LIMIT) {
            0 => Ok(None),
            // More than there can be is as good as all.
            limit if limit > 0 => Ok(Some(u32::try_from(limit).unwrap_or(u32::MAX))),
            _ => Err(QuayError::Parameter("limit", HELP)),
        }
    }

    /// From which moment on builds are wanted.
    ///
    /// # Errors
    /// When it is no number, or no moment.
    pub(crate) fn since(&self) -> Result<Option<DateTime<Utc>>, QuayError> {
        const HELP: &str = "Returns all builds since the given unix timecode, in whole seconds";
        let seconds = self.integer("since", HELP)?;
        let moment = |seconds| {
            let moment = DateTime::from_timestamp(seconds, 0);
            moment.ok_or(QuayError::Parameter("since", HELP))
        };
        seconds.map(moment).transpose()
    }

    /// From which entry on a log is wanted; below 0 it counts from the end.
    ///
    /// # Errors
    /// When it is no number.
    pub(crate) fn start(&self) -> Result<i64, QuayError> {
        const HELP: &str = "The entry from which on the log is wanted, a whole number";
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
    fn the_first_of_a_name_counts_and_only_whole_numbers_do() {
        assert_eq!(query("").limit().unwrap(), Some(5));
        assert_eq!(query("limit=0").limit().unwrap(), None);
        assert_eq!(query("limit=7&limit=x").limit().unwrap(), Some(7));
        assert_eq!(query("start=-2").start().unwrap(), -2);
        let moment = query("since=60").since().unwrap().unwrap();
        assert_eq!(moment.timestamp(), 60);
        for bad in ["limit=", "limit=abc", "limit=2.5", "limit=-1"] {
            assert!(query(bad).limit().is_err(), "{bad}");
        }
        for bad in ["since=", "since=abc", "since=99999999999999999"] {
            assert!(query(bad).since().is_err(), "{bad}");
        }
    }
}
