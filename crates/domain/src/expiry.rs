//! Durations as GitLab writes them in `expire_in`: `7 days`, `2 hrs 20 min`, `7d`.

use chrono::TimeDelta;

/// Parses a duration. Returns `None` if `text` is not one.
///
/// A month is 30 days and a year 365.25, as in GitLab.
pub fn parse(text: &str) -> Option<TimeDelta> {
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
    // A thousand years is the limit: long enough for anybody, and far from overflowing `TimeDelta`.
    (seconds <= 31_557_600_000.0).then(|| TimeDelta::seconds(seconds as i64))
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
        let seconds = |text| parse(text).map(|delta| delta.num_seconds());
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
        for bad in [
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
}
