//! Durations as GitLab writes them in `expire_in`: `7 days`, `2 hrs 20 min`, `7d`, `never`.

use chrono::TimeDelta;

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It does not expire.
    Never,
    After(TimeDelta),
}

impl Expiry {
    /// The time after which it expires; `None` if it does not.
    pub fn after(self) -> Option<TimeDelta> {
        match self {
            Self::Never => None,
            Self::After(duration) => Some(duration),
        }
    }
}

/// Parses a duration, or `never`. Returns `None` if `text` is neither.
///
/// A month is 30 days and a year 365.25, as in GitLab. There, a duration of zero means never, too.
pub fn parse(text: &str) -> Option<Expiry> {
    if text.trim().eq_ignore_ascii_case("never") {
        return Some(Expiry::Never);
    }
    let mut seconds = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        seconds += number.parse::<f64>().ok()? * unit_seconds(unit)?;
        rest = after.trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
    }
    if seconds == 0.0 {
        return Some(Expiry::Never);
    }
    // A thousand years is the limit: long enough for anybody, and far from overflowing `TimeDelta`.
    let is_short = seconds <= 31_557_600_000.0;
    is_short.then(|| Expiry::After(TimeDelta::milliseconds((seconds * 1000.0) as i64)))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "wk" | "wks" | "week" | "weeks" => 604_800.0,
        "mo" | "mos" | "month" | "months" => 2_592_000.0,
        "y" | "yr" | "yrs" | "year" | "years" => 31_557_600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_in_every_spelling() {
        let seconds = |text| Some(parse(text)?.after()?.num_seconds());
        assert_eq!(seconds("7 days"), Some(604_800));
        assert_eq!(seconds("30 mins"), Some(1800));
        assert_eq!(seconds("2 hrs 20 min"), Some(8400));
        assert_eq!(seconds("7d"), Some(604_800));
        assert_eq!(seconds("3 mos 4 days"), Some(3 * 2_592_000 + 4 * 86_400));
        assert_eq!(
            seconds("1 week, 1 day and 1 hour"),
            Some(604_800 + 86_400 + 3600)
        );
        assert_eq!(seconds("42"), Some(42));
        let half = parse("0.5 sec").and_then(Expiry::after);
        assert_eq!(half, Some(TimeDelta::milliseconds(500)));
        for bad in [
            "never ever",
            "",
            "soon",
            "7 dayz",
            "days 7",
            "1e3 days",
            "9999999999999 years",
            "1..2 days",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn never_and_zero_do_not_expire() {
        for text in ["never", "Never", " NEVER ", "0", "0 days", "0 hrs 0 min"] {
            assert_eq!(parse(text), Some(Expiry::Never), "{text}");
        }
    }
}
