//! Text with units: parsing the texts of users, and formatting values for them.
//!
//! Also newtypes for ids and offsets, so that a partition cannot be passed as a producer.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The reason why a text is not a quantity.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UnitError {
    /// The text does not start with a number.
    #[error("it does not start with a number")]
    NoNumber,
    /// The beginning looks like a number and is none.
    #[error("`{0}` is not a number")]
    BadNumber(String),
    /// The number has a comma.
    #[error("a number has no comma: decimals are written with a point")]
    Comma,
    /// The number is negative.
    #[error("it is negative")]
    Negative,
    /// The number has no unit.
    #[error("the unit is missing")]
    NoUnit,
    /// The unit does not belong to the quantity.
    #[error("`{0}` is not a unit of it")]
    WrongUnit(String),
    /// The value exceeds the limit.
    #[error("it is too large")]
    TooLarge,
}

/// The kind of quantity in a text, with its units for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A span of time.
    Duration,
    /// An amount of data.
    Bytes,
    /// Events per time.
    Rate,
}

impl Quantity {
    /// Name of the quantity, with an article.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Duration => "a duration",
            Quantity::Bytes => "a size",
            Quantity::Rate => "a rate",
        }
    }

    /// The allowed units.
    pub fn units(self) -> &'static str {
        match self {
            Quantity::Duration => "ns, us, ms, s, m or h",
            Quantity::Bytes => "B, KB, KiB, MB, MiB, GB or GiB",
            Quantity::Rate => "/s, /m or /h",
        }
    }

    /// An example of the quantity.
    pub fn example(self) -> &'static str {
        match self {
            Quantity::Duration => "250ms",
            Quantity::Bytes => "100B",
            Quantity::Rate => "2/s",
        }
    }
}

fn split(text: &str) -> Result<(f64, &str), UnitError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let digits =
        text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let unit = text[digits..].trim();
    match (&text[..digits], number(&text[..digits])) {
        ("", _) => Err(UnitError::NoNumber),
        _ if unit.starts_with(',') => Err(UnitError::Comma),
        (written, None) => Err(UnitError::BadNumber(written.to_owned())),
        _ if unit.is_empty() => Err(UnitError::NoUnit),
        (_, Some(number)) => Ok((number, unit)),
    }
}

/// Reads digits with at most one point, and with `_` between digits like TOML; `None` for other texts.
pub fn number(text: &str) -> Option<f64> {
    let is_digits = |part: &str| {
        let each = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        part.split('_').all(each)
    };
    let is_number = match text.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(text),
    };
    if is_number { text.replace('_', "").parse().ok() } else { None }
}

/// Parses `"250ms"`, `"1.5s"`, `"2h"`.
///
/// # Errors
/// The text is no number with a unit of time, or is longer than a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let ns_per_unit = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        _ => return Err(UnitError::WrongUnit(unit.to_owned())),
    };
    let ns = (number * ns_per_unit).round();
    // A century is far beyond any run and far below the limit of 64-bit nanoseconds.
    if ns > 100.0 * 365.25 * 86_400e9 {
        Err(UnitError::TooLarge)
    } else {
        Ok(Duration::from_nanos(ns as u64))
    }
}

/// Parses `"100B"`, `"2MiB"` into bytes.
///
/// # Errors
/// The text is no number with a unit of bytes, or is more than a petabyte.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let bytes_per_unit = match unit {
        "B" => 1.0,
        "KB" | "kB" => 1e3,
        "KiB" => 1024.0,
        "MB" => 1e6,
        "MiB" => 1024.0 * 1024.0,
        "GB" => 1e9,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(UnitError::WrongUnit(unit.to_owned())),
    };
    let bytes = (number * bytes_per_unit).round();
    if bytes > 1e15 { Err(UnitError::TooLarge) } else { Ok(bytes as u64) }
}

/// Parses `"2/s"`, `"30/m"` into events per second.
///
/// # Errors
/// The text is no number with a unit of a rate.
pub fn parse_rate(text: &str) -> Result<f64, UnitError> {
    let (number, unit) = split(text)?;
    let seconds_per_unit = match unit.replace(' ', "").as_str() {
        "/s" => 1.0,
        "/m" | "/min" => 60.0,
        "/h" => 3600.0,
        _ => return Err(UnitError::WrongUnit(unit.to_owned())),
    };
    if number > 1e9 { Err(UnitError::TooLarge) } else { Ok(number / seconds_per_unit) }
}

/// A duration in a suitable unit: `850ns`, `1.21ms`, `2.5s`, `1h`.
pub fn format_duration(span: Duration) -> String {
    let ns = span.as_nanos() as f64;
    match ns {
        0.0 => "0s".to_owned(),
        _ if ns < 1e3 => format!("{ns:.0}ns"),
        _ if ns < 1e6 => format!("{}us", significant(ns / 1e3)),
        _ if ns < 1e9 => format!("{}ms", significant(ns / 1e6)),
        _ if ns < 120e9 => format!("{}s", significant(ns / 1e9)),
        _ if ns < 7200e9 => format!("{}m", significant(ns / 60e9)),
        _ => format!("{}h", significant(ns / 3600e9)),
    }
}

/// Bytes in a suitable unit: `100 B`, `2.4 MiB`.
pub fn format_bytes(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", significant(value / 1024.0)),
        1_048_576..1_073_741_824 => format!("{} MiB", significant(value / 1_048_576.0)),
        _ => format!("{} GiB", significant(value / 1_073_741_824.0)),
    }
}

/// A count with thousands separated: `122,880`.
pub fn format_count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of CPUs: `2 CPUs`, `1.5 CPUs`, `1 CPU`.
pub fn format_cpus(cpus: f64) -> String {
    let text = significant(cpus);
    let unit = if text == "1" { "CPU" } else { "CPUs" };
    format!("{text} {unit}")
}

/// Three significant digits, without trailing zeros.
fn significant(value: f64) -> String {
    let text = match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Largest number of partitions of a topic. Each has a consumer and histograms of its own.
pub const PARTITIONS_MAX: usize = 10_000;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A partition of the topic under test, counted from 0.
    PartitionId(u32)
);
id!(
    /// A consumer, counted from 0. With explicit assignment it equals the partition's id.
    ConsumerId(u32)
);
id!(
    /// One of the load's producers (a schedule, not a connection), counted from 0.
    ProducerId(u32)
);
id!(
    /// A pool of producers, counted from 0.
    PoolId(u32)
);
id!(
    /// The number of a start of a consumer or pool. The first start is incarnation 1. Results of fenced incarnations do
    /// not count.
    Incarnation(u32)
);
id!(
    /// A numeric offset in a partition's log.
    Offset(i64)
);

/// The id of a run, which its records have in their stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunId(pub u64);

impl RunId {
    /// The id of a run from 64 random bits. The last four digits of its text are a check of the eight before them, so
    /// that names with it can be recognised.
    #[cfg_attr(doc, doc(hidden))]
    pub fn marked(bits: u64) -> RunId {
        let drawn = (bits >> 16) as u32;
        RunId((bits & !0xffff) | u64::from(RunId::check_digits(drawn)))
    }

    /// The id of the run that has chosen this name of a topic or a group: `lanekeeper-`, any text, and the id. `None`
    /// for other names.
    #[cfg_attr(doc, doc(hidden))]
    pub fn of_name(name: &str) -> Option<RunId> {
        RunId::of_text(name.strip_prefix("lanekeeper-")?.rsplit('-').next()?)
    }

    /// The id that is printed as this text; `None` if its last digits are not the check of the others.
    #[cfg_attr(doc, doc(hidden))]
    pub fn of_text(text: &str) -> Option<RunId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 12 || !text.bytes().all(is_digit) {
            return None;
        }
        let id = u64::from_str_radix(text, 16).ok()?;
        (RunId::check_digits((id >> 16) as u32) == (id & 0xffff) as u16).then_some(RunId(id))
    }

    fn check_digits(drawn: u32) -> u16 {
        crc32fast::hash(&drawn.to_be_bytes()) as u16
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0 & 0xffff_ffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_are_told_from_others() {
        let id = RunId::marked(0x0123_4567_89ab_cdef);
        let text = |name: &str| RunId::of_name(name).map(|id| id.to_string());
        for name in [format!("lanekeeper-{id}"), format!("lanekeeper-my-orders-{id}")] {
            assert_eq!(text(&name), Some(id.to_string()), "{name}");
            for other in
                [&name.to_uppercase(), &name[1..], &format!("{name}0"), &format!("x{name}")]
            {
                assert_eq!(RunId::of_name(other), None, "{other}");
            }
        }
        let other = format!("lanekeeper-orders-{}", RunId(id.0 ^ 1));
        for name in [other.as_str(), "lanekeeper-", "lanekeeper-orders", "orders", ""] {
            assert_eq!(RunId::of_name(name), None, "{name}");
        }
        for n in 0..1_000 {
            let text = RunId::marked(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n)).to_string();
            assert_eq!(RunId::of_text(&text).map(|id| id.to_string()), Some(text));
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5 s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(parse_duration("5"), Err(UnitError::NoUnit));
        assert_eq!(parse_duration("-5s"), Err(UnitError::Negative));
        assert_eq!(parse_duration("5 parsecs"), Err(UnitError::WrongUnit("parsecs".into())));
        assert_eq!(parse_duration("fast"), Err(UnitError::NoNumber));
        assert_eq!(parse_duration("0,5s"), Err(UnitError::Comma));
        assert_eq!(parse_duration("1_000ms"), Ok(Duration::from_secs(1)));
        for text in ["1..5", "5.", ".5", "1__0", "_1", "1_", "1._5"] {
            let refused = parse_duration(&format!("{text}s"));
            assert_eq!(refused, Err(UnitError::BadNumber(text.into())));
        }
        assert_eq!(parse_duration("999999999h"), Err(UnitError::TooLarge));
    }

    #[test]
    fn sizes_and_rates_are_read_with_their_unit() {
        assert_eq!(parse_bytes("100B"), Ok(100));
        assert_eq!(parse_bytes("2MiB"), Ok(2 * 1024 * 1024));
        assert_eq!(parse_bytes("2M"), Err(UnitError::WrongUnit("M".into())));
        assert_eq!(parse_rate("2/s"), Ok(2.0));
        assert_eq!(parse_rate("30/m"), Ok(0.5));
    }

    #[test]
    fn figures_are_written_with_three_digits() {
        assert_eq!(format_duration(Duration::from_nanos(1_214_000)), "1.21ms");
        assert_eq!(format_duration(Duration::from_secs(60)), "60s");
        assert_eq!(format_duration(Duration::from_nanos(999)), "999ns");
        assert_eq!(format_duration(Duration::from_secs(7200)), "2h");
        assert_eq!(format_count(1_228_800), "1,228,800");
        assert_eq!(format_count(12), "12");
        assert_eq!(format_bytes(2 * 1024 * 1024), "2 MiB");
        let cpus = [0.2, 1.0, 1.5, 64.0].map(format_cpus);
        assert_eq!(cpus, ["0.2 CPUs", "1 CPU", "1.5 CPUs", "64 CPUs"]);
    }
}
