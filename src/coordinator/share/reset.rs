//! Where a share group begins on a partition that it has no state of: `share.auto.offset.reset` (KIP-932).
//!
//! Key invariant: a text that is none of Kafka's is taken for the default; settings are checked where they are set.

/// How long a duration may be: beyond it, it is the beginning of all logs anyway.
const DURATION_MS_MAX: i64 = i64::MAX / 4;

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    Earliest,
    Latest,
    /// With the first record not older than this.
    ByDuration {
        ms: i64,
    },
}

impl OffsetReset {
    /// Reads the setting: `earliest`, `latest`, or `by_duration:` and an ISO 8601 duration of days, hours, minutes and seconds.
    pub fn parse(text: &str) -> Self {
        match text {
            "earliest" => Self::Earliest,
            _ => match text.strip_prefix("by_duration:").and_then(duration_ms) {
                Some(ms) => Self::ByDuration { ms },
                None => Self::Latest,
            },
        }
    }
}

fn duration_ms(text: &str) -> Option<i64> {
    let upper = text.to_ascii_uppercase();
    let rest = upper.strip_prefix('P')?;
    let (date, time) = rest.split_once('T').unwrap_or((rest, ""));
    let units = [
        (date, [('D', 86_400_000.0), ('D', 0.0), ('D', 0.0)]),
        (time, [('H', 3_600_000.0), ('M', 60_000.0), ('S', 1_000.0)]),
    ];
    let mut sum = 0.0;
    for (text, units) in units {
        for part in text.split_inclusive(|c: char| c.is_ascii_alphabetic()) {
            let unit = part.chars().next_back()?;
            let (_, ms) = units.iter().find(|(name, _)| *name == unit)?;
            let number: f64 = part.trim_end_matches(unit).parse().ok()?;
            sum += number * ms;
        }
    }
    // Too large a number saturates.
    (sum >= 0.0).then_some((sum as i64).min(DURATION_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_read() {
        assert_eq!(OffsetReset::parse("earliest"), OffsetReset::Earliest);
        assert_eq!(OffsetReset::parse("latest"), OffsetReset::Latest);
        assert_eq!(OffsetReset::parse("by_duration:PT1H"), OffsetReset::ByDuration { ms: 3_600_000 });
        let long = OffsetReset::ByDuration { ms: 2 * 86_400_000 + 3 * 3_600_000 + 4 * 60_000 + 5_500 };
        assert_eq!(OffsetReset::parse("by_duration:P2DT3H4M5.5S"), long);
        let longest = OffsetReset::ByDuration { ms: DURATION_MS_MAX };
        assert_eq!(OffsetReset::parse("by_duration:P99999999999999999999D"), longest);
        for wrong in
            ["", "by_duration:", "by_duration:1H", "by_duration:P1H", "by_duration:P-1D", "by_duration:PT"]
        {
            let read = OffsetReset::parse(wrong);
            assert!(matches!(read, OffsetReset::Latest | OffsetReset::ByDuration { ms: 0 }), "{wrong}");
        }
    }
}
