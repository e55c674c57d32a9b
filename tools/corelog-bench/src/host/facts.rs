//! The host as a run's file tells it.
//!
//! Key invariant: gathering never fails and starts no program; what cannot be read is left out.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Facts {
    pub host: Option<String>,
    pub cpu_model: Option<String>,
    /// CPUs that the system has.
    pub cpus: Option<u32>,
    /// CPUs that this process may use.
    pub allowed_cpus: Option<u32>,
    /// The frequency governor of the first CPU; virtual machines usually have none.
    pub cpu_governor: Option<String>,
    pub memory_bytes: Option<u64>,
    /// Name and release.
    pub kernel: Option<String>,
    pub distribution: Option<String>,
    /// Of a broker on this host.
    pub data_directory: Option<DataDirectory>,
}

/// Where a broker keeps its data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DataDirectory {
    pub path: String,
    pub filesystem: Option<String>,
    /// The block device as the system names it.
    pub device: Option<String>,
    pub device_model: Option<String>,
    pub rotational: Option<bool>,
}

impl Facts {
    /// Gathers the facts of this host; those of a data directory if there is one here.
    pub fn gather(data_directory: Option<&Path>) -> Self {
        let uname = rustix::system::uname();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            host: uname.nodename().to_str().ok().map(str::to_owned),
            cpu_model: field(&cpuinfo, "model name").or_else(|| field(&cpuinfo, "Model")),
            cpus: line("/sys/devices/system/cpu/online").and_then(|list| count_list(&list)),
            allowed_cpus: std::thread::available_parallelism()
                .ok()
                .and_then(|count| count.get().try_into().ok()),
            cpu_governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            memory_bytes: fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_bytes(&text)),
            kernel: Some(format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            )),
            distribution: fs::read_to_string("/etc/os-release").ok().and_then(|text| distribution(&text)),
            data_directory: data_directory.map(DataDirectory::gather),
        }
    }
}

impl DataDirectory {
    fn gather(path: &Path) -> Self {
        let mut found = Self { path: path.display().to_string(), ..Self::default() };
        let Ok(status) = fs::metadata(path) else { return found };
        let device = status.dev();
        let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        if let Some((filesystem, source)) =
            fs::read_to_string("/proc/self/mountinfo").ok().and_then(|text| mount(&text, &number))
        {
            found.filesystem = Some(filesystem);
            found.device = Some(source);
        }
        let block = format!("/sys/dev/block/{number}");
        // A partition has no queue of its own; its disk is one level up.
        let disk = if Path::new(&format!("{block}/queue")).exists() { block } else { format!("{block}/..") };
        found.device_model = line(&format!("{disk}/device/model"));
        found.rotational = line(&format!("{disk}/queue/rotational")).map(|text| text != "0");
        found
    }
}

/// The only line of a file, unless it is empty.
fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// How many numbers a list such as `0-3,8` has.
fn count_list(list: &str) -> Option<u32> {
    list.split(',').try_fold(0_u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kib: u64 = field(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

fn distribution(os_release: &str) -> Option<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// The type and the source of the filesystem on device `number`: the fields after the dash.
fn mount(mountinfo: &str, number: &str) -> Option<(String, String)> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let device = before.split_ascii_whitespace().nth(2)?;
        let mut after = after.split_ascii_whitespace();
        let found = (after.next()?.to_owned(), after.next()?.to_owned());
        (device == number).then_some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_kernel_cpus_and_memory() {
        let facts = Facts::gather(Some(Path::new("/")));
        assert!(facts.kernel.as_deref().is_some_and(|kernel| kernel.starts_with("Linux ")));
        assert!(facts.cpus.is_some_and(|cpus| cpus > 0));
        assert!(facts.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(facts.data_directory.is_some_and(|directory| directory.path == "/"));
        let missing = Facts::gather(Some(Path::new("/no/such/directory")));
        assert_eq!(missing.data_directory.unwrap().filesystem, None);
    }

    #[test]
    fn texts_are_read_as_the_kernel_writes_them() {
        assert_eq!(count_list("0-3,8,10-11"), Some(7));
        assert_eq!(count_list("3-0"), None);
        assert_eq!(count_list(""), None);
        assert_eq!(
            field("a : 1\nmodel name\t: Some CPU: fast\n", "model name").as_deref(),
            Some("Some CPU: fast")
        );
        assert_eq!(memory_bytes("MemTotal:       16 kB\n"), Some(16_384));
        let mounts = "1 0 0:5 / /proc rw - proc proc rw\n29 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n";
        assert_eq!(mount(mounts, "254:0"), Some(("ext4".to_owned(), "/dev/vda".to_owned())));
        assert_eq!(mount(mounts, "254:1"), None);
    }

    #[test]
    fn facts_survive_being_written_and_read() {
        let facts = Facts::gather(None);
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), facts);
    }
}
