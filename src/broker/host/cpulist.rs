//! Lists of CPUs as the kernel writes them: `0-3,8`.
//!
//! Key invariant: no list makes more than [`CPUS_MAX`] numbers, whatever it says.

use std::collections::BTreeSet;

/// CPUs of a host; Linux has at most 8,192.
const CPUS_MAX: usize = 8_192;

/// The CPUs of a list; `None` if it is none.
pub(super) fn parse(text: &str) -> Option<BTreeSet<usize>> {
    let mut cpus = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= CPUS_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// The list of these CPUs.
pub(super) fn format(cpus: &BTreeSet<usize>) -> String {
    let mut runs: Vec<(usize, usize)> = vec![];
    for cpu in cpus {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
            _ => runs.push((*cpu, *cpu)),
        }
    }
    let runs = runs.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_and_nonsense_is_none() {
        for text in ["0", "0-3", "0-3,8", "1,3,5-7", ""] {
            assert_eq!(format(&parse(text).expect("a list")), text);
        }
        assert_eq!(format(&parse("3,1,2\n").expect("a list")), "1-3");
        for text in ["a", "3-1", "0-", "0-99999999999", "8192"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
