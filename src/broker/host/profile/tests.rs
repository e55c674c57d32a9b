//! Tests of profiles: those in the binary are sound, and damage is told with its line.

use super::*;

const SETTING: &str = r#"format = 1
name = "test"
about = "a test"

[[setting]]
name = "swappiness"
from = { file = "/proc/sys/vm/swappiness" }
want = { at_most = 1 }
weight = "material"
changes = "c"
why = "w"
effect = "not measured"
undo = "u"
sources = ["https://docs.kernel.org/"]
"#;

fn refusal(text: &str) -> String {
    Profile::parse("my.toml", text).expect_err("it is not valid").to_string()
}

#[test]
fn the_profiles_in_the_binary_are_sound_and_described() {
    let readme = include_str!("../../../../tuning/README.md");
    for name in Profile::built_in_names() {
        let profile = built_in(name).expect("it is listed").expect("it is valid");
        assert_eq!(profile.name, name);
        for setting in &profile.settings {
            assert!(
                readme.contains(&format!("| {} |", setting.name())),
                "{} is not in the README",
                setting.name()
            );
            assert!(setting.sources.iter().all(|source| source.starts_with("https://")));
        }
    }
    assert!(built_in("none").is_none());
}

#[test]
fn what_is_shared_is_dedicated_too() {
    let profile = |name| built_in(name).expect("it is there").expect("it is valid");
    let dedicated = profile(DEDICATED);
    for setting in profile("shared").settings {
        let other = dedicated.settings.iter().find(|other| other.name() == setting.name());
        let other = other.unwrap_or_else(|| panic!("{} is only shared", setting.name()));
        assert_eq!((&setting.from, &setting.want), (&other.from, &other.want), "{}", setting.name());
    }
}

#[test]
fn damage_is_told_with_its_line() {
    assert!(Profile::parse("my.toml", SETTING).is_ok());
    for (good, bad, line) in [
        ("format = 1", "format = 2", 1),
        ("want = { at_most = 1 }", "want = { at_must = 1 }", 8),
        ("want = { at_most = 1 }", "want = ", 8),
        ("weight = \"material\"", "weight = \"heavy\"", 9),
        ("why = \"w\"", "because = \"w\"", 11),
        // What the whole setting is guilty of is told with its name's line.
        ("why = \"w\"", "why = \" \"", 6),
        ("/proc/sys/vm/swappiness", "/etc/passwd", 6),
        ("/proc/sys/vm/swappiness", "/proc/../etc/passwd", 6),
        ("/proc/sys/vm/swappiness", "/proc//sys", 6),
        ("{ file = \"/proc/sys/vm/swappiness\" }", "{ limit = \"open_files\" }", 6),
        ("{ at_most = 1 }", "{ with = \"noatime\" }", 6),
        ("{ at_most = 1 }", "{ one_of = [] }", 6),
        ("{ at_most = 1 }", "{ one_of = [\"a\\nb\"] }", 6),
        ("undo = \"u\"", "undo = \"u\"\noffered = \"../x\"", 6),
    ] {
        assert!(SETTING.contains(good), "{good}");
        let said = refusal(&SETTING.replacen(good, bad, 1));
        assert!(said.starts_with(&format!("my.toml line {line}: ")), "{bad}: {said}");
    }
    let twice = format!("{SETTING}{}", SETTING.split_once("\n\n").expect("a blank line").1);
    assert!(refusal(&twice).contains("twice"));
    assert!(refusal("format = 1\nname = \"n\"\nabout = \"a\"\n").contains("1 to"));
    assert!(refusal(&" ".repeat(PROFILE_BYTES_MAX + 1)).contains("larger"));
}
