//! `/sys` and `/proc`: the kernel's, or a copy of them in a directory.
//!
//! Key invariants: nothing outside the tree is read or written, whatever its links say. A copy is made of plain files and
//! behaves as the kernel would where that matters: a choice (`none [mq-deadline]`) stays a list with one of it chosen, and
//! a file that nobody may write is refused to root too.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Bytes of one file; `/proc/interrupts` of a large host has some.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Entries of one directory, and files that a pattern stands for.
const ENTRIES_MAX: usize = 65_536;

/// Where the host's files are.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
    is_kernel: bool,
}

impl Tree {
    /// This host's.
    pub fn kernel() -> Self {
        Self { root: PathBuf::from("/"), is_kernel: true }
    }

    /// A copy below `root`.
    pub fn copy(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let is_kernel = root == Path::new("/");
        Ok(Self { root, is_kernel })
    }

    /// Whether changes are changes of this host.
    pub fn is_kernel(&self) -> bool {
        self.is_kernel
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The place of something that is there, with every link followed; an error if that leads out of the tree.
    fn inside(&self, path: &str) -> io::Result<PathBuf> {
        let place = self.place(path).canonicalize()?;
        if place.starts_with(&self.root) {
            return Ok(place);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it leads out of the tree"))
    }

    /// Where a path leads with every link followed, as a path of the tree.
    pub fn resolve(&self, path: &str) -> Option<String> {
        let place = self.inside(path).ok()?;
        Some(format!("/{}", place.strip_prefix(&self.root).ok()?.to_str()?))
    }

    /// Whether there is something.
    pub fn exists(&self, path: &str) -> bool {
        self.inside(path).is_ok()
    }

    /// A file's text, without space around it.
    pub fn read(&self, path: &str) -> io::Result<String> {
        let mut text = String::new();
        fs::File::open(self.inside(path)?)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    }

    /// Writes a value into a file that is there, in one write, as such files want it.
    pub fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let place = self.inside(path)?;
        let mut value = value.to_owned();
        if !self.is_kernel {
            if place.metadata()?.permissions().mode() & 0o222 == 0 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            value = chosen_in(&self.read(path)?, &value)?;
        }
        fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(place)?
            .write_all(format!("{value}\n").as_bytes())
    }

    /// Of a text like `none [mq-deadline]` the one that is chosen; any other text as it is.
    pub fn choice(text: &str) -> String {
        selection(text).0
    }

    /// Names in a directory, sorted; none if there is none.
    pub fn list(&self, path: &str) -> Vec<String> {
        let Ok(entries) = self.inside(path).and_then(fs::read_dir) else { return vec![] };
        let names = entries.take(ENTRIES_MAX).flatten();
        let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The files that a pattern stands for, in the order of their names with numbers by size: cpu2 before cpu10.
    pub fn expand(&self, pattern: &str) -> Vec<String> {
        let mut paths = vec![String::new()];
        for part in pattern.split('/').skip(1) {
            let mut longer = vec![];
            for path in &paths {
                if !part.contains('*') {
                    longer.push(format!("{path}/{part}"));
                    continue;
                }
                let names = self.list(if path.is_empty() { "/" } else { path });
                longer.extend(
                    names.iter().filter(|name| matches(part, name)).map(|name| format!("{path}/{name}")),
                );
            }
            longer.truncate(ENTRIES_MAX);
            paths = longer;
        }
        paths.retain(|path| self.exists(path));
        paths.sort_by_cached_key(|path| natural(path));
        paths
    }
}

/// Whether a name fits a pattern with `*` for any part of it.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// A key that sorts numbers in names by their size.
fn natural(path: &str) -> Vec<(u64, String)> {
    let mut key = vec![];
    let mut rest = path;
    while !rest.is_empty() {
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, after) = rest.split_at(letters);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        key.push((0, text.to_owned()));
        key.push((number.parse().unwrap_or(u64::MAX), String::new()));
        rest = after;
    }
    key
}

/// What stands in a file after `value` was written to it, as the kernel shows it.
fn chosen_in(text: &str, value: &str) -> io::Result<String> {
    if selection(text).1.is_empty() {
        return Ok(value.to_owned());
    }
    let words = text.split_whitespace().map(|word| word.trim_matches(['[', ']']));
    let words: Vec<String> =
        words.map(|word| if word == value { format!("[{word}]") } else { word.to_owned() }).collect();
    if words.iter().any(|word| word.starts_with('[')) {
        return Ok(words.join(" "));
    }
    Err(io::ErrorKind::InvalidInput.into())
}

/// What a file says: the whole, or of a list with one word in brackets that word, and what it could be instead.
pub(super) fn selection(text: &str) -> (String, Vec<String>) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let bare = |word: &&str| word.trim_matches(['[', ']']).to_owned();
    match words.iter().find(|word| word.starts_with('[') && word.ends_with(']')) {
        Some(chosen) => (bare(chosen), words.iter().map(bare).collect()),
        None => (text.trim().to_owned(), vec![]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_and_kept_as_the_kernel_shows_it() {
        let text = "none [mq-deadline] kyber";
        assert_eq!(selection(text).0, "mq-deadline");
        assert_eq!(selection(text).1, ["none", "mq-deadline", "kyber"]);
        assert_eq!(chosen_in(text, "none").expect("offered"), "[none] mq-deadline kyber");
        assert!(chosen_in(text, "bfq").is_err());
        assert_eq!(selection("4096\t131072\t6291456").0, "4096\t131072\t6291456");
    }

    #[test]
    fn patterns_stand_for_files_in_the_order_of_their_numbers() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for cpu in ["cpu10", "cpu2", "cpufreq"] {
            let place = directory.path().join("sys/cpu").join(cpu);
            fs::create_dir_all(&place).expect("writable");
            if cpu != "cpufreq" {
                fs::write(place.join("governor"), "x\n").expect("writable");
            }
        }
        let tree = Tree::copy(directory.path()).expect("it is there");
        assert_eq!(
            tree.expand("/sys/cpu/cpu*/governor"),
            ["/sys/cpu/cpu2/governor", "/sys/cpu/cpu10/governor"]
        );
        assert!(tree.expand("/sys/none/*").is_empty());
        assert!(matches("a*c*e", "abcde") && !matches("a*c", "abd") && !matches("a", "ab"));
    }

    #[test]
    fn nothing_outside_the_tree_is_touched() {
        let outside = tempfile::tempdir().expect("a temporary directory");
        let secret = outside.path().join("secret");
        fs::write(&secret, "kept").expect("writable");
        let inside = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(inside.path().join("sys")).expect("writable");
        std::os::unix::fs::symlink(&secret, inside.path().join("sys/link")).expect("writable");
        let tree = Tree::copy(inside.path()).expect("it is there");
        assert!(tree.read("/sys/link").is_err() && tree.write("/sys/link", "x").is_err());
        assert!(!tree.exists("/sys/link"));
        assert_eq!(fs::read_to_string(secret).expect("it is there"), "kept");
    }
}
