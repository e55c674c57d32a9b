//! Points in time and spans of it as Kafka's tools take them: ISO 8601.
//!
//! Key invariant: a time without an offset is UTC, as with Kafka's tools; a span counts a day as 24 hours. The calendar is
//! the toml crate's, which checks dates; here they only become milliseconds.

use std::time::Duration;

use toml::value::{Datetime, Offset};

use crate::model::TimestampMs;

/// Days from the first of January of the year 1 to that of 1970.
const DAYS_BEFORE_1970: i64 = 719_162;
/// Days of a common year before each month.
const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
const SECONDS_PER_DAY: u64 = 86_400;
/// Longest span: a thousand years.
const SPAN_MAX: Duration = Duration::from_secs(365_250 * SECONDS_PER_DAY);
const NANOSECOND_DIGITS_MAX: usize = 9;

/// Reads `2026-03-01T12:00:00`, with parts of a second, and with `Z` or an offset such as `+01:00`.
pub fn point(text: &str) -> Result<TimestampMs, String> {
    let wrong =
        || format!("{text:?} is not of the form 2026-03-01T12:00:00.000, with Z or +01:00 behind it or not");
    let parsed: Datetime = text.trim().parse().map_err(|_| wrong())?;
    let date = parsed.date.ok_or_else(wrong)?;
    let mut minutes = days_since_1970(date.year, date.month, date.day) * 24 * 60;
    let mut ms = 0;
    if let Some(time) = parsed.time {
        minutes += i64::from(time.hour) * 60 + i64::from(time.minute);
        ms = i64::from(time.second.unwrap_or(0)) * 1000 + i64::from(time.nanosecond.unwrap_or(0)) / 1_000_000;
    }
    if let Some(Offset::Custom { minutes: ahead }) = parsed.offset {
        minutes -= i64::from(ahead);
    }
    Ok(TimestampMs(minutes * 60_000 + ms))
}

fn days_since_1970(year: u16, month: u8, day: u8) -> i64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let whole_years = i64::from(year) - 1;
    let leap_days = whole_years.div_euclid(4) - whole_years.div_euclid(100) + whole_years.div_euclid(400);
    let before_month = DAYS_BEFORE_MONTH.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or(0);
    let of_year = before_month + i64::from(leap && month > 2) + i64::from(day) - 1;
    whole_years * 365 + leap_days + of_year - DAYS_BEFORE_1970
}

/// Reads `PnDTnHnMnS`, such as `P7D`, `PT1H30M` or `PT0.5S`.
pub fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not of the form PnDTnHnMnS, such as P7D or PT1H30M");
    parse_span(&text.trim().to_ascii_uppercase()).filter(|span| *span <= SPAN_MAX).ok_or_else(wrong)
}

fn parse_span(text: &str) -> Option<Duration> {
    let (days, times) = match text.strip_prefix('P')?.split_once('T') {
        // A T says that something follows.
        Some((_, "")) => return None,
        Some((days, times)) => (days, times),
        None => (text.strip_prefix('P')?, ""),
    };
    if days.is_empty() && times.is_empty() {
        return None;
    }
    let mut seconds = 0_u64;
    let mut add = |number: &str, unit_seconds: u64| {
        let part = number.parse::<u32>().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?;
        seconds = seconds.checked_add(u64::from(part).checked_mul(unit_seconds)?)?;
        Some(())
    };
    let mut rest = days;
    if let Some((number, after)) = days.split_once('D') {
        add(number, SECONDS_PER_DAY)?;
        rest = after;
    }
    if !rest.is_empty() {
        return None;
    }
    rest = times;
    for (unit, unit_seconds) in [('H', 3600), ('M', 60)] {
        if let Some((number, after)) = rest.split_once(unit) {
            add(number, unit_seconds)?;
            rest = after;
        }
    }
    let mut nanoseconds = 0;
    if let Some((number, after)) = rest.split_once('S') {
        let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
        add(whole, 1)?;
        nanoseconds = nanoseconds_of(fraction)?;
        rest = after;
    }
    rest.is_empty().then(|| Duration::new(seconds, nanoseconds))
}

fn nanoseconds_of(fraction: &str) -> Option<u32> {
    if fraction.len() > NANOSECOND_DIGITS_MAX || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<NANOSECOND_DIGITS_MAX$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_utc_unless_they_say_otherwise() {
        for (text, ms) in [
            ("1970-01-01T00:00:00", 0),
            ("1970-01-01T00:00:00.25Z", 250),
            ("1969-12-31T23:59:59.999", -1),
            ("2000-03-01T00:00:00", 951_868_800_000),
            ("2024-02-29T12:34:56.789", 1_709_210_096_789),
            ("2026-11-21T20:00:00+01:00", 1_795_287_600_000),
            ("2026-11-21T14:00:00-05:00", 1_795_287_600_000),
            ("2026-11-21", 1_795_219_200_000),
        ] {
            assert_eq!(point(text), Ok(TimestampMs(ms)), "{text}");
        }
        for wrong in ["", "yesterday", "2026-02-29T00:00:00", "12:00:00", "2026-13-01", "2026-01-01T25:00:00"]
        {
            assert!(point(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_are_those_of_java() {
        let seconds = |text| span(text).map(|span| span.as_secs());
        assert_eq!(seconds("P7D"), Ok(7 * 86_400));
        assert_eq!(seconds("P1DT1H1M1S"), Ok(86_400 + 3600 + 60 + 1));
        assert_eq!(seconds("pt90m"), Ok(5400));
        assert_eq!(seconds("PT0S"), Ok(0));
        assert_eq!(span("PT1.5S"), Ok(Duration::from_millis(1500)));
        for wrong in [
            "", "P", "PT", "P1DT", "7D", "P1M", "P1W", "PT1D", "PT5", "PT1M1H", "PT-1S", "PT+1S", "P1D1H",
            "P999999D",
        ] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
