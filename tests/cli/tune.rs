//! `corelog tune` on copies of hosts, and on the device of the tests' own directory.
//!
//! Key invariant: no test changes a setting of the host that it runs on: each names a copy with `--root`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::broker::{Broker, Ran, run};

const SCHEDULER: &str = "sys/block/nvme0n1/queue/scheduler";
const SWAPPINESS: &str = "proc/sys/vm/swappiness";
const HALT_POLLING: &str = "sys/module/haltpoll/parameters/guest_halt_poll_ns";
const DISK: &str = "sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1";

/// A host with four CPUs and an NVMe disk, as it comes.
struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        for cpu in 0..4 {
            let place = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq");
            host.put(&format!("{place}/scaling_governor"), "powersave\n");
            host.put(&format!("{place}/scaling_available_governors"), "performance powersave\n");
        }
        let clock = "sys/devices/system/clocksource/clocksource0";
        for (path, text) in [
            ("sys/devices/system/cpu/online", "0-3\n"),
            (&format!("{clock}/current_clocksource"), "hpet\n"),
            (&format!("{clock}/available_clocksource"), "tsc hpet acpi_pm\n"),
            (&format!("{DISK}/queue/scheduler"), "none [mq-deadline] kyber\n"),
            (&format!("{DISK}/queue/rq_affinity"), "1\n"),
            (&format!("{DISK}/queue/write_cache"), "write back\n"),
            (&format!("{DISK}/nvme0n1p1/partition"), "1\n"),
            ("sys/devices/pci0000:00/0000:00:04.0/msi_irqs/40", "msix\n"),
            ("sys/devices/pci0000:00/0000:00:04.0/msi_irqs/41", "msix\n"),
            ("sys/devices/pci0000:00/0000:00:04.0/msi_irqs/42", "msix\n"),
            ("proc/irq/40/smp_affinity_list", "0-3\n"),
            ("proc/irq/41/smp_affinity_list", "0\n"),
            ("proc/irq/42/smp_affinity_list", "0\n"),
            (
                "proc/interrupts",
                "  CPU0 CPU1\n 40: 1 0 PCI-MSIX 0-edge nvme0q0\n 41: 5 0 PCI-MSIX 1-edge nvme0q1\n 42: 5 0 PCI-MSIX 2-edge nvme0q2\n",
            ),
            (SWAPPINESS, "60\n"),
            (HALT_POLLING, "0\n"),
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            ("proc/sys/vm/dirty_ratio", "20\n"),
            ("proc/self/status", "Name:\tcorelog\nCpus_allowed_list:\t0-3\n"),
            (
                "proc/self/limits",
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max open files            1024                 4096                 files     \n\
                 Max locked memory         8388608              8388608              bytes     \n",
            ),
            ("proc/self/mountinfo", "22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,discard\n"),
        ] {
            host.put(path, text);
        }
        host.link("sys/block/nvme0n1", &format!("../../{DISK}"));
        host.link(&format!("{DISK}/device"), "..");
        host.link("sys/dev/block/259:1", &format!("../../../{DISK}/nvme0n1p1"));
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let place = self.path(path);
        fs::create_dir_all(place.parent().expect("it has one")).expect("writable");
        fs::write(place, text).expect("writable");
    }

    fn link(&self, path: &str, to: &str) {
        let place = self.path(path);
        fs::create_dir_all(place.parent().expect("it has one")).expect("writable");
        symlink(to, place).expect("writable");
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("it is there")
    }

    /// Every file of it.
    fn bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.directory.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable").flatten() {
                let kind = entry.file_type().expect("readable");
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    files.insert(entry.path(), fs::read(entry.path()).expect("readable"));
                }
            }
        }
        files
    }

    fn tune(&self, arguments: &[&str]) -> Ran {
        let root = self.directory.path().to_str().expect("the path is text");
        run(&[&["tune"], arguments, &["--root", root]].concat())
    }

    fn check(&self) -> (i32, Vec<Value>) {
        let ran = self.tune(&["check", "--json"]);
        (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}")))
    }

    fn status(&self, setting: &str) -> String {
        let (_, settings) = self.check();
        let found = settings.iter().find(|one| one["setting"] == json!(setting));
        found.and_then(|one| one["status"].as_str()).expect("it is listed").to_owned()
    }
}

#[test]
fn check_says_what_differs_and_changes_nothing() {
    let host = Host::new();
    let before = host.bytes();
    let (code, settings) = host.check();
    assert_eq!(code, 1);
    for (setting, status) in [
        ("cpu governor", "differs"),
        ("guest halt polling", "advice"),
        ("clock source", "differs"),
        ("disk scheduler", "differs"),
        ("disk interrupts", "advice"),
        ("network interrupts", "absent"),
        ("filesystem", "ok"),
        ("access times", "advice"),
        ("online discard", "advice"),
        ("open files", "differs"),
        ("locked memory", "ok"),
        ("listen queue", "ok"),
        ("dirty pages", "kept"),
        ("transparent hugepages", "absent"),
    ] {
        let found = settings.iter().find(|one| one["setting"] == json!(setting)).expect("it is listed");
        assert_eq!(found["status"], json!(status), "{found}");
        for told in ["found", "wanted", "why", "effect", "undo", "changes"] {
            assert!(found[told].as_str().is_some_and(|text| !text.is_empty()), "{setting}: {told}");
        }
    }
    let text = host.tune(&["check"]);
    assert!(text.out.contains("data on nvme0n1; 4 shards"), "{}", text.out);
    assert!(text.out.contains("powersave (4), wanted performance"), "{}", text.out);
    assert!(text.out.contains("by hand: systemd: LimitNOFILE"), "{}", text.out);
    assert!(text.out.contains("mount -o remount,noatime /\n"), "{}", text.out);
    let explained = host.tune(&["check", "--explain", "--profile", "shared"]);
    assert!(explained.out.contains("undo: ") && explained.out.contains("https://docs.kernel.org"));
    assert!(!explained.out.contains("cpu governor"), "{}", explained.out);
    assert_eq!(host.bytes(), before);
}

#[test]
fn a_dry_run_tells_what_apply_does_and_changes_nothing() {
    let host = Host::new();
    let before = host.bytes();
    let dry = host.tune(&["apply", "--dry-run"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(
        dry.out.contains(
            "would change  disk scheduler: /sys/block/nvme0n1/queue/scheduler: mq-deadline -> none"
        )
    );
    assert!(dry.out.contains("by hand       open files: "), "{}", dry.out);
    assert_eq!(host.bytes(), before);
    let done = host.tune(&["apply"]);
    assert_eq!(done.code, 0, "{done:?}");
    let lines = |text: &str, word: &str| -> Vec<String> {
        let told = text.lines().filter_map(|line| line.strip_prefix(word));
        told.map(|line| line.trim().to_owned()).collect()
    };
    assert_eq!(lines(&dry.out, "would change"), lines(&done.out, "changed"));
    assert!(lines(&done.out, "changed").len() > 8, "{}", done.out);
}

#[test]
fn what_is_applied_is_there_and_undone_to_the_byte() {
    let host = Host::new();
    let before = host.bytes();
    assert_eq!(host.tune(&["apply"]).code, 0);
    assert_eq!(host.text(SCHEDULER), "[none] mq-deadline kyber\n");
    assert_eq!(host.text(SWAPPINESS), "1\n");
    assert_eq!(host.text(HALT_POLLING), "200000\n");
    assert_eq!(host.text("proc/sys/net/ipv4/tcp_rmem"), "4096\t131072\t16777216\n");
    assert_eq!(host.text("proc/irq/42/smp_affinity_list"), "1\n", "two queues on one CPU are spread");
    assert_eq!(host.text("proc/irq/40/smp_affinity_list"), "0-3\n", "queue 0 is not moved");
    for setting in ["cpu governor", "clock source", "disk scheduler", "disk interrupts", "swappiness"] {
        assert_eq!(host.status(setting), "ok", "{setting}");
    }
    let applied = host.bytes();
    let again = host.tune(&["apply"]);
    assert!(again.code == 0 && again.out.starts_with("Nothing is to be changed.\n"), "{again:?}");
    assert_eq!(host.bytes(), applied);
    let dry = host.tune(&["undo", "--dry-run"]);
    assert!(dry.code == 0 && dry.out.contains("swappiness: /proc/sys/vm/swappiness: 1 -> 60"), "{dry:?}");
    assert_eq!(host.bytes(), applied);
    let undone = host.tune(&["undo"]);
    assert_eq!(undone.code, 0, "{undone:?}");
    assert_eq!(host.bytes(), before);
    let nothing = host.tune(&["undo"]);
    assert!(nothing.code == 1 && nothing.err.contains("there is no undo file"), "{nothing:?}");
}

#[test]
fn a_change_that_fails_is_told_and_what_was_done_can_be_undone() {
    let host = Host::new();
    let before = host.bytes();
    fs::set_permissions(host.path(SWAPPINESS), fs::Permissions::from_mode(0o444)).expect("it is ours");
    let ran = host.tune(&["apply", "--only", "swappiness", "--only", "disk scheduler"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out.contains("FAILED        swappiness: ") && ran.out.contains("changed       disk scheduler: ")
    );
    assert!(ran.err.contains("1 of 2 changes were not made"), "{ran:?}");
    assert_eq!(host.status("cpu governor"), "differs", "it was not asked for");
    assert_eq!(host.tune(&["undo"]).code, 0);
    assert_eq!(host.bytes(), before);
    let unknown = host.tune(&["apply", "--only", "swapiness"]);
    assert!(unknown.code == 2 && unknown.err.contains("swapiness"), "{unknown:?}");
}

#[test]
fn with_cpus_to_spare_interrupts_go_there() {
    let host = Host::new();
    assert_eq!(host.tune(&["apply", "--shards", "2", "--only", "disk interrupts"]).code, 0);
    assert_eq!(host.text("proc/irq/41/smp_affinity_list"), "2\n");
    assert_eq!(host.text("proc/irq/42/smp_affinity_list"), "3\n");
}

#[test]
fn a_profile_of_ones_own_is_taken_and_a_damaged_one_is_refused_with_its_line() {
    let host = Host::new();
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tuning/dedicated.toml"));
    let shipped = shipped.expect("it is in the repository");
    let own = host.path("own.toml");
    let own = own.to_str().expect("the path is text");
    fs::write(own, shipped.replace("at_most = 1 }", "at_most = 30 }")).expect("writable");
    assert_eq!(host.tune(&["apply", "--profile", own, "--only", "swappiness"]).code, 0);
    assert_eq!(host.text(SWAPPINESS), "30\n");

    let line = shipped.lines().position(|line| line.contains("at_most = 1 }")).expect("it is there") + 1;
    fs::write(own, shipped.replace("at_most = 1 }", "at_most = }")).expect("writable");
    let before = host.bytes();
    for action in ["check", "apply"] {
        let refused = host.tune(&[action, "--profile", own]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains(&format!("{own} line {line}: ")), "{refused:?}");
    }
    let absent = host.tune(&["check", "--profile", "none-of-these"]);
    assert!(absent.code == 2 && absent.err.contains("dedicated, shared"), "{absent:?}");
    assert_eq!(host.bytes(), before);
}

#[test]
fn a_host_without_anything_is_no_failure() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let root = empty.path().to_str().expect("the path is text");
    let ran = run(&["tune", "check", "--root", root]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(run(&["tune", "apply", "--root", root]).code, 0);
    assert_eq!(fs::read_dir(empty.path()).expect("readable").count(), 0);
    assert_eq!(run(&["tune", "check", "--root", "/nowhere/at/all"]).code, 7);
}

fn measure(data: &str) -> Ran {
    run(&["tune", "io", "--data-dir", data, "--size-mib", "16", "--case-ms", "10", "--json"])
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("readable").flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[test]
fn a_measured_profile_is_what_the_broker_starts_with() {
    let mut broker = Broker::start();
    let data = broker.data_dir();
    let log = broker.directory().join("log");
    let told = |what: &str| fs::read_to_string(&log).expect("readable").contains(what);
    let running = measure(&data);
    assert!(running.code == 1 && running.err.contains("in use by process"), "{running:?}");
    assert_eq!(broker.stop(), Some(0));

    let before = names(Path::new(&data));
    let ran = measure(&data);
    assert_eq!(ran.code, 0, "{ran:?}");
    let measured: Value = serde_json::from_str(&ran.out).expect("it prints JSON");
    let profile = &measured["profile"];
    assert!(profile["durable_write"]["p50_us"].as_u64().is_some_and(|us| us > 0), "{profile}");
    assert_eq!(profile["sequential_write"].as_array().map(Vec::len), Some(8));
    let mut after = names(Path::new(&data));
    after.retain(|name| name != "io-profile.toml");
    assert_eq!(after, before, "nothing else is left behind");

    broker.start_again();
    assert!(told("the limits are those of"), "{}", fs::read_to_string(&log).expect("readable"));
    assert_eq!(broker.run_with(&["produce", "t"], b"one\ntwo\n").code, 0);
    assert_eq!(broker.stop(), Some(0));

    let path = Path::new(&data).join("io-profile.toml");
    let sound = fs::read_to_string(&path).expect("it is there");
    extremes_serve(&mut broker, &path, &sound);

    fs::write(&path, sound.replace("format = 1", "format = one")).expect("writable");
    broker.start_again();
    assert!(told("io-profile.toml is damaged: line ") && told("the default limits hold"));
    let read = broker.must(&["consume", "t", "--from-beginning", "--until-end"]);
    assert_eq!(read.lines().count(), 2);
}

/// The longest and the shortest flush that a profile may tell of: what is acknowledged under such limits is there after
/// `kill -9`, whether it went through the journal or past it.
fn extremes_serve(broker: &mut Broker, path: &Path, sound: &str) {
    let text = crate::broker::some_text(20_000);
    let latency = |us: u32| {
        let mut lines: Vec<String> = sound.lines().map(str::to_owned).collect();
        let at = lines.iter().position(|line| line == "[durable_write]").expect("it is there");
        lines[at + 1] = format!("p50_us = {us}");
        lines[at + 2] = format!("p99_us = {us}");
        lines.join("\n")
    };
    for (topic, us) in [("slow", 10_000_000), ("fast", 1)] {
        fs::write(path, latency(us)).expect("writable");
        broker.start_again();
        let log = fs::read_to_string(broker.directory().join("log")).expect("readable");
        let bypass = if us == 1 { "bypass from 32 KiB, " } else { "bypass from 512 KiB, " };
        assert!(log.contains(bypass), "{log}");
        broker.must(&["topic", "create", topic, "--partitions", "1"]);
        assert_eq!(broker.run_with(&["produce", topic], text.as_bytes()).code, 0);
        broker.kill();
        broker.start_again();
        assert_eq!(broker.must(&["consume", topic, "--from-beginning", "--until-end"]), text);
        assert_eq!(broker.stop(), Some(0));
    }
}

#[test]
fn measuring_refuses_where_space_is_short() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("target/ is writable");
    let data = directory.path().join("data");
    let data = data.to_str().expect("the path is text");
    let bytes = rustix::fs::statvfs(directory.path()).map(|facts| facts.f_bavail * facts.f_frsize);
    // A file that is larger than what is free; on a disk larger than the largest file there is nothing to refuse.
    if bytes.expect("it is there") >= 65 << 30 {
        return;
    }
    let ran = run(&["tune", "io", "--data-dir", data, "--size-mib", "65536"]);
    assert!(ran.code == 1 && ran.err.contains("--size-mib"), "{ran:?}");
    assert_eq!(names(Path::new(data)), ["corelog.lock"]);
}
