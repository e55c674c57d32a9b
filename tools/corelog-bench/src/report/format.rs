//! Numbers as people read them.
//!
//! Key invariant: no digit is shown that a histogram of three digits does not hold for sure, but four where they help to
//! compare.

/// A whole number with commas between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// About four significant digits: 0.412, 4.125, 41.25, 412.5, 4,125.
pub fn significant(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    let decimals = match size {
        _ if size >= 999.95 => return grouped_signed(value),
        _ if size >= 99.995 => 1,
        _ if size >= 9.9995 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// Microseconds as milliseconds.
pub fn ms(us: u64) -> String {
    significant(us as f64 / 1e3)
}

/// A share as percent with one decimal.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Bytes in the decimal unit that fits.
pub fn bytes(count: u64) -> String {
    let value = count as f64;
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{} kB", significant(value / 1e3)),
        1_000_000..1_000_000_000 => format!("{} MB", significant(value / 1e6)),
        _ => format!("{} GB", significant(value / 1e9)),
    }
}

fn grouped_signed(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    // Rounds to a whole number; what is beyond u64 is shown as its largest value.
    format!("{sign}{}", grouped(value.abs().round() as u64))
}
