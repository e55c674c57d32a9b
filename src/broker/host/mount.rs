//! The filesystem of a directory and the disks below it, as `/proc/self/mountinfo` and `/sys` have them.
//!
//! Key invariant: stacks of devices (partitions, LVM, RAID) are followed down to disks, to a bounded depth; what is not
//! found is none, never an error: containers and network filesystems have no disks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::tree::Tree;

/// Devices on devices that are followed.
const STACK_MAX: usize = 8;

/// A mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub point: String,
    pub filesystem: String,
    /// Of the mount and of the filesystem.
    pub options: Vec<String>,
    /// What is mounted, such as `/dev/sda1`.
    pub source: String,
    /// Major and minor number.
    number: String,
}

/// The mount that a directory is on.
pub(super) fn of(tree: &Tree, directory: &Path) -> Option<Mount> {
    let absolute = nearest(directory);
    let text = tree.read("/proc/self/mountinfo").ok()?;
    // Of mounts on the same point the last one is seen.
    let mounts = text.lines().filter_map(parse).filter(|mount| absolute.starts_with(&mount.point));
    mounts.max_by_key(|mount| mount.point.len())
}

/// The filesystem of a directory, and the names of the disks below it; empty where the system does not tell.
pub fn disks_below(tree: &Tree, directory: &Path) -> (String, Vec<String>) {
    let Some(mount) = of(tree, directory) else { return Default::default() };
    let disks = mount.disks(tree);
    (mount.filesystem, disks)
}

/// The directory, or what of its path there is, absolute and without links.
fn nearest(directory: &Path) -> PathBuf {
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let there = absolute.ancestors().find_map(|place| place.canonicalize().ok());
    there.unwrap_or(absolute)
}

/// One line: ids, numbers, root, mount point, options, optional fields, `-`, type, source, more options.
fn parse(line: &str) -> Option<Mount> {
    let (first, second) = line.split_once(" - ")?;
    let first: Vec<&str> = first.split(' ').collect();
    let mut second = second.split(' ');
    let (filesystem, source) = (second.next()?, second.next()?);
    let of_both = first.get(5)?.split(',').chain(second.next().unwrap_or_default().split(','));
    let mut options: Vec<String> = vec![];
    for option in of_both.filter(|option| !option.is_empty()) {
        if !options.iter().any(|known| known == option) {
            options.push(option.to_owned());
        }
    }
    Some(Mount {
        point: unescaped(first.get(4)?),
        filesystem: filesystem.to_owned(),
        options,
        source: unescaped(source),
        number: (*first.get(2)?).to_owned(),
    })
}

/// Spaces and the like stand there as `\040`.
fn unescaped(text: &str) -> String {
    let mut plain = text.to_owned();
    for (code, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        plain = plain.replace(code, character);
    }
    plain
}

impl Mount {
    /// Names of the disks below it, such as `nvme0n1`.
    pub(super) fn disks(&self, tree: &Tree) -> Vec<String> {
        let mut disks = BTreeSet::new();
        let by_number = tree.resolve(&format!("/sys/dev/block/{}", self.number));
        // Some filesystems have a number that is no device's.
        let by_name = || {
            let name = self.source.strip_prefix("/dev/").filter(|name| !name.contains('/'))?;
            tree.resolve(&format!("/sys/class/block/{name}"))
        };
        if let Some(device) = by_number.or_else(by_name) {
            descend(tree, &device, STACK_MAX, &mut disks);
        }
        disks.into_iter().collect()
    }
}

fn descend(tree: &Tree, device: &str, depth: usize, disks: &mut BTreeSet<String>) {
    let whole = match tree.exists(&format!("{device}/partition")) {
        true => device.rsplit_once('/').map_or(device, |(parent, _)| parent),
        false => device,
    };
    let below = tree.list(&format!("{whole}/slaves"));
    if below.is_empty() || depth == 0 {
        disks.extend(whole.rsplit('/').next().map(str::to_owned));
        return;
    }
    for name in below {
        if let Some(device) = tree.resolve(&format!("{whole}/slaves/{name}")) {
            descend(tree, &device, depth - 1, disks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let line =
            "36 35 259:2 / /var/lib/my\\040data rw,noatime shared:1 - xfs /dev/nvme0n1p2 rw,attr2,discard";
        let mount = parse(line).expect("it is one");
        assert_eq!(mount.point, "/var/lib/my data");
        assert_eq!((mount.filesystem.as_str(), mount.number.as_str()), ("xfs", "259:2"));
        assert_eq!(mount.options, ["rw", "noatime", "attr2", "discard"]);
        assert_eq!(parse("nonsense"), None);
        assert_eq!(parse("1 2 - "), None);
    }
}
