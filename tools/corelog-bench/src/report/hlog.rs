//! `.hlog`: HdrHistogram's log of intervals, version 1.3, one compressed histogram for each second of the counted time.
//!
//! Key invariant: the sum of its histograms is the histogram of the run's `.hgrm`; the warm-up is not in it. Values are in
//! microseconds, as recorded, times in seconds since the run's start, which is the base time.

use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError};

use super::ReportError;
use crate::measure::Timing;
use crate::result::RunRecord;

/// The log of one kind of latency; without intervals if the run has none of that kind.
pub fn text(record: &RunRecord, timing: Timing) -> Result<String, ReportError> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("[Logged by corelog-bench {}]", record.tool.version))
        .add_comment(&format!("{} latencies in microseconds; the interval's maximum too", timing.name()));
    if let Some(start) = unix_time(&record.started_at) {
        builder.with_start_time(start).with_base_time(start);
    }
    const IN_MEMORY: &str = "a vector takes whatever is written to it";
    let mut writer = builder.begin_log_with(&mut bytes, &mut serializer).expect(IN_MEMORY);
    for row in record.measured.series.iter().filter(|row| !row.warm_up) {
        let Some(latency) = row.latencies.get(&timing) else { continue };
        let latencies = latency.latencies()?;
        let from = Duration::try_from_secs_f64(row.from_s).unwrap_or_default();
        let length = Duration::try_from_secs_f64(row.seconds()).unwrap_or_default();
        match writer.write_histogram(&latencies, from, length, None) {
            Ok(()) => {}
            Err(IntervalLogWriterError::SerializeError(error)) => {
                return Err(ReportError::Histogram(error.into()));
            }
            Err(IntervalLogWriterError::IoError(_)) => unreachable!("{IN_MEMORY}"),
        }
    }
    Ok(String::from_utf8(bytes).expect("the log is ASCII"))
}

/// The time that an RFC 3339 text tells; none if it is not one, or before 1970.
pub fn unix_time(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone_at);
    let mut clock = clock.split(':');
    let (hour, minute) = (clock.next()?.parse::<i64>().ok()?, clock.next()?.parse::<i64>().ok()?);
    let second = clock.next()?.parse::<f64>().ok().filter(|second| (0.0..61.0).contains(second))?;
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let whole = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 - zone_seconds(zone)?;
    let start = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(whole).ok()?))?;
    start.checked_add(Duration::from_secs_f64(second))
}

fn zone_seconds(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        (_, rest) => (-1, rest),
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60))
}

/// Of the Gregorian calendar: years are counted from March, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = if month <= 2 { month + 9 } else { month - 3 };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}
