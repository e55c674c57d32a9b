//! What a host is set to, as far as a profile asks.
//!
//! Key invariant: looking changes nothing, and cannot fail: what cannot be read is a reading that says why. CPUs are those
//! that the broker may use, and of these the ones that its shards will have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::cpulist;
use super::interrupts;
use super::mount::{self, Mount};
use super::profile::{Devices, Limit, MountPart, Profile, Setting, Source};
use super::tree::{Tree, selection};
use crate::broker::cpus;

/// The broker that the host is for.
#[derive(Clone, Debug)]
pub struct Place {
    pub data_dir: PathBuf,
    /// As configured; `None` is one for each CPU.
    pub shards: Option<u16>,
}

/// What one file, limit or mount has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The file, or what it is of.
    pub path: String,
    pub value: Result<String, String>,
    /// What it could have instead, if that is known.
    pub offered: Vec<String>,
}

/// Everything that a plan depends on.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub shards: usize,
    /// CPUs of shards, were they pinned, and the online ones that are left then.
    pub shard_cpus: BTreeSet<usize>,
    pub other_cpus: BTreeSet<usize>,
    pub mount: Option<Mount>,
    pub disks: Vec<String>,
    /// By setting. A setting that the host does not have has none.
    pub readings: BTreeMap<String, Vec<Reading>>,
}

/// Looks at all that the profile asks for.
pub fn look(tree: &Tree, profile: &Profile, place: &Place) -> Facts {
    let process = process_of(tree, place);
    let list = |path: &str| tree.read(path).ok().and_then(|text| cpulist::parse(&text)).unwrap_or_default();
    let allowed = allowed_cpus(tree, &process);
    let shards = place.shards.map_or(allowed.len().max(1), usize::from);
    let ascending: Vec<usize> = allowed.iter().copied().collect();
    let assigned = u16::try_from(shards).unwrap_or(u16::MAX);
    let shard_cpus: BTreeSet<usize> = cpus::assign(&ascending, assigned).into_iter().collect();
    let other_cpus = list("/sys/devices/system/cpu/online").difference(&shard_cpus).copied().collect();
    let mount = mount::of(tree, &place.data_dir);
    let disks = mount.as_ref().map(|mount| mount.disks(tree)).unwrap_or_default();
    let mut facts = Facts { shards, shard_cpus, other_cpus, mount, disks, readings: BTreeMap::new() };
    for setting in &profile.settings {
        let readings = readings(tree, setting, &facts, &process);
        facts.readings.insert(setting.name().to_owned(), readings);
    }
    facts
}

/// The broker that runs on the data directory, else this process: whoever asks is likely to start it.
fn process_of(tree: &Tree, place: &Place) -> String {
    let owner = std::fs::read_to_string(place.data_dir.join("corelog.lock")).unwrap_or_default();
    let running = owner.trim().parse::<u32>().ok().map(|id| format!("/proc/{id}"));
    let is_broker =
        |process: &String| tree.read(&format!("{process}/comm")).is_ok_and(|comm| comm == "corelog");
    running.filter(is_broker).unwrap_or_else(|| "/proc/self".to_owned())
}

fn allowed_cpus(tree: &Tree, process: &str) -> BTreeSet<usize> {
    let status = tree.read(&format!("{process}/status")).unwrap_or_default();
    let listed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    listed.and_then(cpulist::parse).unwrap_or_default()
}

fn readings(tree: &Tree, setting: &Setting, facts: &Facts, process: &str) -> Vec<Reading> {
    let plain = |path: String, value: Result<String, String>| Reading { path, value, offered: vec![] };
    match &setting.from {
        Source::File(pattern) => {
            let patterns = match pattern.contains("{device}") {
                true => facts.disks.iter().map(|disk| pattern.replace("{device}", disk)).collect(),
                false => vec![pattern.clone()],
            };
            let paths = patterns.iter().flat_map(|pattern| tree.expand(pattern));
            paths.map(|path| file(tree, setting, path)).collect()
        }
        Source::Limit(limit) => {
            let path = format!("{process}/limits");
            tree.read(&path).map(|text| plain(path, limit_in(&text, *limit))).into_iter().collect()
        }
        Source::Mount(part) => {
            let mount = facts.mount.iter();
            let told = mount.map(|mount| {
                let value = match part {
                    MountPart::Filesystem => mount.filesystem.clone(),
                    MountPart::Options => mount.options.join(","),
                };
                plain(mount.point.clone(), Ok(value))
            });
            told.collect()
        }
        Source::Interrupts(devices) => {
            let directories: Vec<String> = match devices {
                Devices::Data => facts.disks.iter().map(|disk| format!("/sys/block/{disk}/device")).collect(),
                Devices::Network => tree.expand("/sys/class/net/*/device"),
            };
            let numbers = directories.iter().flat_map(|directory| interrupts::of_device(tree, directory));
            // Two disks may share a controller. The order is that of the queues.
            let numbers: BTreeSet<u32> = numbers.collect();
            numbers.into_iter().map(|number| file(tree, setting, interrupts::file_of(number))).collect()
        }
    }
}

fn file(tree: &Tree, setting: &Setting, path: String) -> Reading {
    let (value, mut offered) = match tree.read(&path) {
        Ok(text) => {
            let (value, offered) = selection(&text);
            (Ok(value), offered)
        }
        Err(error) => (Err(error.to_string()), vec![]),
    };
    if let (Some(beside), Some((directory, _))) = (&setting.offered, path.rsplit_once('/'))
        && let Ok(text) = tree.read(&format!("{directory}/{beside}"))
    {
        offered = text.split_whitespace().map(str::to_owned).collect();
    }
    Reading { path, value, offered }
}

/// A limit in the table of `/proc/PID/limits`: its name, the soft one, the hard one, the unit.
fn limit_in(text: &str, limit: Limit) -> Result<String, String> {
    let (name, column) = match limit {
        Limit::OpenFiles => ("Max open files", 1),
        Limit::LockedMemory => ("Max locked memory", 0),
    };
    let row = text.lines().find_map(|line| line.strip_prefix(name));
    let value = row.and_then(|row| row.split_whitespace().nth(column));
    value.map(str::to_owned).ok_or_else(|| format!("no `{name}` there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_their_column() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n\
                    Max locked memory         8388608              unlimited            bytes     ";
        assert_eq!(limit_in(text, Limit::OpenFiles).as_deref(), Ok("524288"));
        assert_eq!(limit_in(text, Limit::LockedMemory).as_deref(), Ok("8388608"));
        assert!(limit_in("", Limit::OpenFiles).is_err());
    }
}
