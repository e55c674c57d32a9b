//! The topics in a subscription of the `consumer` protocol (`ConsumerProtocolSubscription`).
//!
//! Key invariant: only what all versions have in common is read: the version, then the topics. Whatever the bytes are, nothing
//! panics and nothing is allocated for what a count merely claims.

use std::collections::BTreeSet;

/// Adds the topics that the bytes name; `None` if they are not a subscription.
pub(super) fn add_topics(metadata: &[u8], topics: &mut BTreeSet<String>) -> Option<()> {
    let mut rest = metadata;
    let version = i16::from_be_bytes(take(&mut rest)?);
    let count = i32::from_be_bytes(take(&mut rest)?);
    if version < 0 || count < 0 {
        return None;
    }
    for _ in 0..count {
        let length = usize::try_from(i16::from_be_bytes(take(&mut rest)?)).ok()?;
        let (name, after) = rest.split_at_checked(length)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        rest = after;
    }
    Some(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(metadata: &[u8]) -> Option<Vec<String>> {
        let mut topics = BTreeSet::new();
        add_topics(metadata, &mut topics).map(|()| topics.into_iter().collect())
    }

    #[test]
    fn topics_are_read_whatever_the_version_adds() {
        let bytes =
            [&[0, 1, 0, 0, 0, 2, 0, 1, b'b', 0, 2, b'a', b'a'][..], &[0xff, 0xff, 0xff, 0xff]].concat();
        assert_eq!(topics(&bytes), Some(vec!["aa".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn what_is_no_subscription_is_told() {
        let cases: [&[u8]; 6] = [
            b"",
            &[0],
            &[0xff, 0xff, 0, 0, 0, 0],
            &[0, 0, 0x7f, 0xff, 0xff, 0xff],
            &[0, 0, 0, 0, 0, 1, 0, 3, b'a'],
            &[0, 0, 0, 0, 0, 1, 0, 1, 0xff],
        ];
        for case in cases {
            assert_eq!(topics(case), None, "{case:?}");
        }
    }
}
