//! Tests of the planner: facts and a profile in, verdicts and changes out.

use std::collections::BTreeSet;

use super::*;

fn profile(from: &str, want: &str, more: &str) -> Profile {
    let text = format!(
        "format = 1\nname = \"t\"\nabout = \"t\"\n[[setting]]\nname = \"s\"\nfrom = {from}\nwant = {want}\n{more}\n\
         changes = \"c\"\nwhy = \"w\"\neffect = \"e\"\nundo = \"u\"\nsources = [\"https://x\"]\n"
    );
    Profile::parse("t", &text).expect("a valid profile")
}

fn of_file(want: &str) -> Profile {
    profile("{ file = \"/sys/x\" }", want, "weight = \"material\"")
}

fn facts(values: &[&str]) -> Facts {
    let reading = |(at, value): (usize, &&str)| Reading {
        path: format!("/sys/x{at}"),
        value: Ok((*value).to_owned()),
        offered: vec![],
    };
    let readings = values.iter().enumerate().map(reading).collect();
    Facts { shards: 4, readings: [("s".to_owned(), readings)].into(), ..Facts::default() }
}

fn verdict(profile: &Profile, facts: &Facts) -> Verdict {
    plan(profile, facts).remove(0)
}

/// What is written where `found` was, if anything.
fn written(want: &str, found: &str) -> Vec<String> {
    verdict(&of_file(want), &facts(&[found])).changes.into_iter().map(|change| change.new).collect()
}

#[test]
fn each_kind_of_wish_plans_what_it_lacks_and_nothing_once_it_is_there() {
    let none: [String; 0] = [];
    for (want, found, new) in [
        ("{ one_of = [\"performance\", \"schedutil\"] }", "powersave", "performance"),
        ("{ at_least = 4096 }", "128", "4096"),
        ("{ at_most = 1 }", "60", "1"),
        ("{ each_at_least = [4096, 131072, 16777216] }", "8192\t131072\t6291456", "8192\t131072\t16777216"),
    ] {
        assert_eq!(written(want, found), [new], "{want}");
        assert_eq!(written(want, new), none, "{want}: planning again");
        assert_eq!(verdict(&of_file(want), &facts(&[new])).standing, Standing::Ok);
        assert_eq!(verdict(&of_file(want), &facts(&[found])).standing, Standing::Differs);
    }
    assert_eq!(written("{ one_of = [\"performance\", \"schedutil\"] }", "schedutil"), none);
    assert_eq!(written("{ at_least = 4096 }", "unlimited"), none);
    assert_eq!(written("\"as_it_is\"", "anything"), none);
    assert_eq!(verdict(&of_file("\"as_it_is\""), &facts(&["x"])).standing, Standing::Kept);
}

#[test]
fn what_a_host_lacks_or_does_not_offer_is_absent() {
    let wish = of_file("{ one_of = [\"performance\"] }");
    assert_eq!(verdict(&wish, &facts(&[])).standing, Standing::Absent);
    assert_eq!(verdict(&wish, &Facts::default()).standing, Standing::Absent);
    let mut facts = facts(&["powersave"]);
    facts.readings.get_mut("s").expect("it is there")[0].offered = vec!["powersave".to_owned()];
    let verdict = verdict(&wish, &facts);
    assert_eq!((verdict.standing, verdict.changes.len()), (Standing::Absent, 0));
    assert!(verdict.found.contains("not offered"), "{}", verdict.found);
}

#[test]
fn only_the_files_that_differ_are_changed_and_counted() {
    let verdict = verdict(&of_file("{ at_most = 1 }"), &facts(&["1", "60", "1", "nonsense"]));
    assert_eq!(verdict.found, "1 (2), 60 (1), nonsense (1)");
    let changes: Vec<(&str, &str, &str)> = verdict
        .changes
        .iter()
        .map(|change| (change.path.as_str(), change.old.as_str(), change.new.as_str()))
        .collect();
    assert_eq!(changes, [("/sys/x1", "60", "1")]);
}

#[test]
fn what_cannot_be_read_is_advice_and_never_written() {
    let mut facts = facts(&["1"]);
    facts.readings.get_mut("s").expect("it is there")[0].value = Err("permission denied".to_owned());
    let verdict = verdict(&of_file("{ at_most = 1 }"), &facts);
    assert_eq!((verdict.standing, verdict.changes.len()), (Standing::Advice, 0));
    assert!(verdict.found.contains("permission denied"));
}

#[test]
fn what_is_for_the_operator_is_told_and_not_written() {
    let limit = profile(
        "{ limit = \"locked_memory\" }",
        "{ per_shard_at_least = 100 }",
        "weight = \"material\"\nby_hand = \"raise it\"",
    );
    let short = verdict(&limit, &facts(&["399"]));
    assert_eq!((short.standing, short.by_hand.as_deref()), (Standing::Differs, Some("raise it")));
    assert!(short.changes.is_empty() && short.wanted == "at least 400");
    let enough = verdict(&limit, &facts(&["400"]));
    assert_eq!((enough.standing, enough.by_hand), (Standing::Ok, None));
    let mount = |want| {
        let options = profile("{ mount = \"options\" }", want, "weight = \"advised\"\nby_hand = \"remount\"");
        verdict(&options, &facts(&["rw,relatime,discard"])).standing
    };
    assert_eq!(mount("{ with = \"noatime\" }"), Standing::Advice);
    assert_eq!(mount("{ with = \"relatime\" }"), Standing::Ok);
    assert_eq!(mount("{ without = \"discard\" }"), Standing::Advice);
    assert_eq!(mount("{ without = \"card\" }"), Standing::Ok, "an option is a whole word");
}

#[test]
fn interrupts_leave_the_shards_and_stay_away() {
    let wish = profile("{ interrupts = \"data\" }", "\"off_shards\"", "weight = \"advised\"");
    let mut facts = facts(&["0-3", "1"]);
    facts.shard_cpus = BTreeSet::from([0, 1]);
    facts.other_cpus = BTreeSet::from([2, 3]);
    let planned = verdict(&wish, &facts);
    let new: Vec<&str> = planned.changes.iter().map(|change| change.new.as_str()).collect();
    assert_eq!((planned.standing, new), (Standing::Advice, vec!["2", "3"]));
    for (reading, change) in
        facts.readings.get_mut("s").expect("it is there").iter_mut().zip(&planned.changes)
    {
        reading.value = Ok(change.new.clone());
    }
    assert_eq!(verdict(&wish, &facts).standing, Standing::Ok);
}
