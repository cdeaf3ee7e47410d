//! Output: text for people, JSON for programs.

use std::io::{Result, Write, stderr, stdout};

use chrono::{DateTime, Utc};
use serde::Serialize;

/// Prints results as text or JSON, and notes for people.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a value as JSON, or as the text that `text` returns.
    pub(crate) fn value<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            self.bytes(&[serde_json::to_vec_pretty(value)?, b"\n".to_vec()].concat())?;
        } else {
            self.bytes(format!("{}\n", text(value).trim_end()).as_bytes())?;
        }
        Ok(())
    }

    /// Prints one line of JSON, for results that arrive in parts.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.bytes(&[serde_json::to_vec(value)?, b"\n".to_vec()].concat())?;
        Ok(())
    }

    /// Prints bytes unchanged and flushes them.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Prints a line for people on standard error.
    pub(crate) fn note(&self, text: &str) -> Result<()> {
        writeln!(stderr().lock(), "{}", plain(text))
    }
}

/// Formats rows in columns under a heading.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned))
        .chain(rows)
        .map(|row| row.map(|cell| plain(&cell)))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// Replaces control characters, which could control the terminal: much of the text comes from other
/// users.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The time from `since` to `now` in its largest unit, such as `3h`.
pub(crate) fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - since).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A number of bytes in the largest unit in which it has at least two digits, such as `12 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut whole = bytes;
    let mut unit = 0;
    while whole >= 10 * 1024 && unit + 1 < UNITS.len() {
        whole /= 1024;
        unit += 1;
    }
    format!("{whole} {}", UNITS[unit])
}

/// The current time, for [`age`].
#[expect(
    clippy::disallowed_methods,
    reason = "ages are shown to people and decide nothing"
)]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_table_has_aligned_columns_and_no_control_characters() {
        let rows = vec![
            ["1".to_owned(), "\x1b[31mred".to_owned()],
            ["12".to_owned(), "x".to_owned()],
        ];
        assert_eq!(
            table(["ID", "NAME"], rows),
            "ID  NAME\n1    [31mred\n12  x\n"
        );
    }

    #[test]
    fn an_age_has_its_largest_unit() {
        let then = DateTime::UNIX_EPOCH;
        for (seconds, expected) in [
            (-5, "0s"),
            (59, "59s"),
            (60, "1m"),
            (7200, "2h"),
            (90_000, "1d"),
        ] {
            assert_eq!(age(then, then + TimeDelta::seconds(seconds)), expected);
        }
    }

    #[test]
    fn a_size_has_a_unit_that_keeps_the_number_short() {
        assert_eq!(size(10_239), "10239 B");
        assert_eq!(size(10 * 1024), "10 KiB");
        assert_eq!(size(u64::MAX), "16777215 TiB");
    }
}
