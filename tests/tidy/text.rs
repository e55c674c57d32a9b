//! The rules that hold for the text of any file: size, opening words, and what a public repository must not name.
//!
//! Key invariant: the names that are searched for are never written whole in this file, so that it passes itself.
//! Rust syntax is left to `source`.

use std::path::Path;

use crate::Violation;

/// Lines of a file. 400 is the target, this the end.
const FILE_LINES_MAX: usize = 800;

/// Hosts of package registries: a package is named by its name, a reader's own registry may be another.
const REGISTRY_HOSTS: [&str; 9] = [
    concat!("crates", ".io"),
    concat!("py", "pi.org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js.org"),
    concat!("npm", "js.com"),
    concat!("repo.maven.", "apache.org"),
    concat!("repo1.", "maven.org"),
    concat!("search.", "maven.org"),
    concat!("proxy.", "golang.org"),
];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wor", "k/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// Written by tools as they need it: their size and the registries in them are not ours to choose.
const WRITTEN_BY_TOOLS: [&str; 3] = ["Cargo.lock", "package-lock.json", "go.sum"];

/// Extensions whose files people read and edit; other files (captures, corpora) may be long.
const EDITED: [&str; 10] = ["rs", "sh", "py", "js", "mjs", "ts", "go", "java", "md", "toml"];

/// Checks one file's text.
pub fn check(file: &Path, content: &str, violations: &mut Vec<Violation>) {
    let mut report =
        |line: usize, rule: String| violations.push(Violation { file: file.to_path_buf(), line, rule });
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if WRITTEN_BY_TOOLS.contains(&name.as_str()) {
        return;
    }
    let extension = file.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
    let generated = content.lines().take(5).any(|line| line.contains("@generated"));
    let lines = content.lines().count();
    let generated = generated || file.starts_with(super::VENDORED);
    if EDITED.contains(&extension.as_str()) && !generated && lines > FILE_LINES_MAX {
        report(lines, format!("{lines} lines; a file ends at {FILE_LINES_MAX} (target 400)"));
    }
    if extension == "rs" && !generated && !content.starts_with("//!") {
        report(
            1,
            "a file opens with `//!`: what it owns, its key invariant, what it leaves to whom".to_owned(),
        );
    }
    for (at, line) in content.lines().enumerate() {
        for host in REGISTRY_HOSTS {
            if line.contains(host) {
                report(at + 1, format!("names the package registry host {host}"));
            }
        }
        for path in MACHINE_PATHS {
            if names_path(line, path) {
                report(at + 1, format!("names the machine path {path}"));
            }
        }
    }
}

/// Whether `line` holds an absolute path that begins with `path`: one within a longer path or address is none.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| {
            c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '$' | ')' | '>' | '*')
        })
    })
}

#[test]
fn finds_long_files_missing_openings_hosts_and_machine_paths() {
    let mut found = Vec::new();
    let long = format!("// no opening\n{}", "\n".repeat(FILE_LINES_MAX));
    check(Path::new("src/io/a.rs"), &long, &mut found);
    assert_eq!(found.len(), 2);
    found.clear();
    let text = format!(
        "fine\nsee {}\nin {}x\nbut {{base}}{}y\n",
        REGISTRY_HOSTS[0], MACHINE_PATHS[0], MACHINE_PATHS[0]
    );
    check(Path::new("docs/a.md"), &text, &mut found);
    assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), [2, 3]);
    found.clear();
    check(Path::new("src/io/b.rs"), "//! Owns nothing.\n", &mut found);
    assert!(found.is_empty());
}
