//! The rules that need Rust's syntax: room order, pure rooms, sizes of functions and structs, banned names.
//!
//! Key invariant: room order and purity are checked on tokens, so that paths inside macro calls count too.
//! File sizes and opening words are left to `text`.

use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::{HOUSES, House, Violation};

/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Fields of a struct.
const FIELDS_MAX: usize = 12;
/// Parameters of a function, the receiver not counted.
const PARAMETERS_MAX: usize = 5;
/// Words that name nothing: a type called so has no subject.
const BANNED_WORDS: [&str; 6] = ["Context", "Manager", "Helper", "Helpers", "Utils", "Util"];
/// Crates and names that bring a runtime, files, sockets, a clock or randomness into a room.
const IMPURE_NAMES: [&str; 17] = [
    "async",
    "await",
    "glommio",
    "tokio",
    "axum",
    "rustix",
    "libc",
    "Instant",
    "SystemTime",
    "from_os_rng",
    "OsRng",
    "getrandom",
    "thread_rng",
    "new_v4",
    "now_v7",
    "RandomState",
    "futures_lite",
];
/// Names of `rand` that are not seeded by the caller.
const IMPURE_RAND: [&str; 5] = ["rng", "random", "random_range", "random_bool", "fill"];
/// Modules of `std` that do.
const IMPURE_STD: [&str; 6] = ["fs", "net", "thread", "process", "os", "env"];

/// Checks one source file.
pub fn check(file: &Path, content: &str, violations: &mut Vec<Violation>) {
    let parsed = match syn::parse_file(content) {
        Ok(parsed) => parsed,
        Err(error) => {
            let line = error.span().start().line;
            violations.push(Violation {
                file: file.to_path_buf(),
                line,
                rule: format!("cannot be parsed: {error}"),
            });
            return;
        }
    };
    let mut rules = Rules { file, violations };
    rules.file_name();
    rules.visit_file(&parsed);
    let Some((house, room)) = room_of(file) else { return };
    let tokens: TokenStream = content.parse().expect("what syn parsed has tokens");
    let pure = house.pure.contains(&room) && !is_test_file(file);
    let mut scan = Scan { rules, house, room, above: modules_above(file, house), pure };
    scan.tokens(tokens);
}

/// The house and the room that a file belongs to: the folder below the house's sources.
fn room_of(file: &Path) -> Option<(&'static House, &str)> {
    HOUSES.iter().find_map(|house| {
        let mut parts = file.strip_prefix(house.sources).ok()?.iter();
        let room = parts.next()?.to_str()?;
        parts.next().is_some().then_some((house, room))
    })
}

/// Whether a file holds only tests: `tests.rs`, or anything in a folder `tests`.
fn is_test_file(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "tests") || file.iter().any(|part| part == "tests")
}

/// How many modules a file's own module lies below the crate's root.
fn modules_above(file: &Path, house: &House) -> usize {
    let parts = file.iter().count() - Path::new(house.sources).iter().count();
    if file.file_stem().is_some_and(|stem| stem == "mod") { parts - 1 } else { parts }
}

/// Collects the broken rules of one file.
struct Rules<'a> {
    file: &'a Path,
    violations: &'a mut Vec<Violation>,
}

impl Rules<'_> {
    fn report(&mut self, line: usize, rule: String) {
        self.violations.push(Violation { file: self.file.to_path_buf(), line, rule });
    }

    fn file_name(&mut self) {
        let stem = self.file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(word) = banned_word(&stem) {
            self.report(1, format!("the file name {stem} holds the banned word {word}"));
        }
    }

    fn name(&mut self, name: &syn::Ident) {
        let text = name.to_string();
        if let Some(word) = banned_word(&text) {
            self.report(name.span().start().line, format!("{text} holds the banned word {word}"));
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: Option<&syn::Block>, foreign: bool) {
        let first = signature.span().start().line;
        if let Some(block) = block {
            let lines = block.span().end().line + 1 - first;
            if lines > FUNCTION_LINES_MAX {
                let name = &signature.ident;
                self.report(
                    first,
                    format!("fn {name} has {lines} lines; a function ends at {FUNCTION_LINES_MAX}"),
                );
            }
        }
        let parameters =
            signature.inputs.iter().filter(|input| matches!(input, syn::FnArg::Typed(_))).count();
        if !foreign && parameters > PARAMETERS_MAX {
            let name = &signature.ident;
            self.report(
                first,
                format!("fn {name} has {parameters} parameters; {PARAMETERS_MAX} are the end"),
            );
        }
    }
}

/// The banned word that a name in `CamelCase` or `snake_case` holds.
fn banned_word(name: &str) -> Option<&'static str> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c == '-' {
            words.push(String::new());
            continue;
        }
        if c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(c.to_lowercase());
        }
    }
    BANNED_WORDS.into_iter().find(|banned| words.contains(&banned.to_lowercase()))
}

impl<'ast> Visit<'ast> for Rules<'_> {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.name(&item.ident);
        let fields = item.fields.len();
        if fields > FIELDS_MAX {
            let rule = format!("struct {} has {fields} fields; {FIELDS_MAX} are the end", item.ident);
            self.report(item.ident.span().start().line, rule);
        }
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.name(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.name(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.name(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.name(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, Some(&item.block), false);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        // The parameters of a trait's functions are counted where the trait is declared.
        let foreign = item.trait_.is_some();
        for member in &item.items {
            if let syn::ImplItem::Fn(function) = member {
                self.function(&function.sig, Some(&function.block), foreign);
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.function(&item.sig, item.default.as_ref(), false);
        visit::visit_trait_item_fn(self, item);
    }
}

/// Walks the tokens of one file of a room.
struct Scan<'a> {
    rules: Rules<'a>,
    house: &'static House,
    room: &'a str,
    /// Modules between here and the crate's root.
    above: usize,
    /// Whether the tokens must be pure: a pure room's code that is no test.
    pure: bool,
}

impl Scan<'_> {
    fn tokens(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(ident) => {
                    let name = ident.to_string();
                    let line = ident.span().start().line;
                    self.ident(&name, line, &tokens[at + 1..]);
                    if name == "super" && !is_path_separator(&tokens[..at]) {
                        self.climb(line, &tokens[at..]);
                    }
                    if name == "mod"
                        && let Some(TokenTree::Group(body)) = tokens.get(at + 2)
                    {
                        self.module(&tokens[..at], body.stream());
                        at += 3;
                        continue;
                    }
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// A module written in place: it lies one deeper, and may be tests.
    fn module(&mut self, before: &[TokenTree], body: TokenStream) {
        let (above, pure) = (self.above, self.pure);
        self.above += 1;
        self.pure = pure && !is_marked_as_test(before);
        self.tokens(body);
        (self.above, self.pure) = (above, pure);
    }

    fn ident(&mut self, name: &str, line: usize, rest: &[TokenTree]) {
        if name == "crate" {
            for room in path_heads(rest) {
                self.import(&room, line);
            }
        }
        if self.pure && IMPURE_NAMES.contains(&name) {
            self.rules.report(line, format!("`{name}` in the pure room {}", self.room));
        }
        if self.pure && name == "rand" {
            for source in path_heads(rest).into_iter().filter(|head| IMPURE_RAND.contains(&head.as_str())) {
                self.rules.report(line, format!("`rand::{source}` in the pure room {}", self.room));
            }
        }
        if self.pure && name == "std" {
            for module in path_heads(rest) {
                if IMPURE_STD.contains(&module.as_str()) {
                    self.rules.report(line, format!("`std::{module}` in the pure room {}", self.room));
                }
            }
        }
    }

    /// Checks a path that starts at the crate's root.
    fn import(&mut self, target: &str, line: usize) {
        let position = |name: &str| self.house.rooms.iter().position(|room| *room == name);
        if let (Some(from), Some(to)) = (position(self.room), position(target))
            && to > from
        {
            let rule = format!("the room {} imports {target}, which stands below it", self.room);
            self.rules.report(line, rule);
        }
    }

    /// Checks a path of `super`s: one that leaves the room names it as `crate::room` instead.
    fn climb(&mut self, line: usize, tokens: &[TokenTree]) {
        let mut climbed = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if ident == "super" => climbed += 1,
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                _ => break,
            }
        }
        if climbed >= self.above {
            self.rules.report(line, format!("`super` leaves the room {}; name the other room", self.room));
        }
    }
}

/// The first names after `::`: one, or all of a braced list.
fn path_heads(rest: &[TokenTree]) -> Vec<String> {
    let [TokenTree::Punct(first), TokenTree::Punct(second), head, ..] = rest else { return Vec::new() };
    if first.as_char() != ':' || second.as_char() != ':' {
        return Vec::new();
    }
    match head {
        TokenTree::Ident(ident) => vec![ident.to_string()],
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
            let mut heads = Vec::new();
            let mut expected = true;
            for token in group.stream() {
                match token {
                    TokenTree::Ident(ident) if expected => heads.push(ident.to_string()),
                    TokenTree::Punct(punct) if punct.as_char() == ',' => {
                        expected = true;
                        continue;
                    }
                    _ => {}
                }
                expected = false;
            }
            heads
        }
        _ => Vec::new(),
    }
}

/// Whether the tokens end in `::`.
fn is_path_separator(before: &[TokenTree]) -> bool {
    matches!(before.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

/// Whether an attribute `#[cfg(test)]` stands right before.
fn is_marked_as_test(before: &[TokenTree]) -> bool {
    before.iter().rev().take(4).any(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
            let text = group.stream().to_string();
            text.starts_with("cfg") && text.contains("test")
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(file: &str, content: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        check(Path::new(file), content, &mut found);
        found.into_iter().map(|violation| (violation.line, violation.rule)).collect()
    }

    #[test]
    fn a_room_may_not_import_a_lower_one() {
        assert!(
            rules("src/storage/log.rs", "use crate::io::Disk;\nuse crate::{model, record::Codec};")
                .is_empty()
        );
        assert_eq!(rules("src/storage/log.rs", "\nuse crate::{model, shard::Shard};")[0].0, 2);
        assert_eq!(rules("src/model/a.rs", "fn f() {\n    println!(\"{}\", crate::cli::X);\n}")[0].0, 2);
        assert_eq!(rules("src/model/a/b.rs", "use super::super::super::cli::X;").len(), 1);
        assert!(rules("src/model/a/b.rs", "use super::super::X;").is_empty());
        assert!(rules("src/model/mod.rs", "mod tests { use super::X; }").is_empty());
        assert_eq!(rules("src/model/mod.rs", "use super::cli::X;").len(), 1);
        let tool = "tools/corelog-bench/src";
        assert_eq!(rules(&format!("{tool}/payload/a.rs"), "use crate::drive::X;").len(), 1);
        assert!(
            rules(&format!("{tool}/drive/a/b.rs"), "use crate::payload::X; use super::super::Y;").is_empty()
        );
        assert_eq!(rules(&format!("{tool}/drive/a.rs"), "use super::super::cli::X;").len(), 1);
    }

    #[test]
    fn pure_rooms_have_no_runtime_clock_or_files() {
        for impure in [
            "async fn f() {}",
            "use tokio::sync;",
            "fn f() { std::fs::read(p); }",
            "use std::{fmt, fs};",
            "fn f() { let now = std::time::Instant::now(); }",
            "fn f() { m!(SystemTime::now()); }",
            "fn f() { uuid::Uuid::new_v4(); }",
            "fn f() { rand::rng(); }",
        ] {
            assert_eq!(rules("src/metadata/a.rs", impure).len(), 1, "{impure}");
            assert!(rules("src/storage/a.rs", impure).is_empty(), "{impure}");
            assert!(
                rules("src/metadata/a.rs", &format!("#[cfg(test)]\nmod tests {{ {impure} }}")).is_empty()
            );
            assert!(rules("src/metadata/a/tests.rs", impure).is_empty());
        }
        assert!(rules("src/metadata/a.rs", "//! Nothing async, no tokio.\nuse std::fmt;").is_empty());
    }

    #[test]
    fn functions_and_structs_are_small() {
        let body = "    f();\n".repeat(FUNCTION_LINES_MAX - 2);
        assert!(rules("src/io/a.rs", &format!("fn f() {{\n{body}}}")).is_empty());
        assert_eq!(rules("src/io/a.rs", &format!("impl X {{\nfn f() {{\n{body}    f();\n}}\n}}"))[0].0, 2);
        assert!(rules("src/io/a.rs", "fn f(&self, a: A, b: A, c: A, d: A, e: A) {}").is_empty());
        assert_eq!(rules("src/io/a.rs", "fn f(a: A, b: A, c: A, d: A, e: A, f: A) {}").len(), 1);
        let fields = |count: usize| (0..count).map(|i| format!("f{i}: u8,")).collect::<String>();
        assert!(rules("src/io/a.rs", &format!("struct S {{ {} }}", fields(FIELDS_MAX))).is_empty());
        assert_eq!(rules("src/io/a.rs", &format!("struct S {{ {} }}", fields(FIELDS_MAX + 1))).len(), 1);
    }

    #[test]
    fn names_without_a_subject_are_banned() {
        assert_eq!(
            rules("src/io/a.rs", "struct IoContext;\nenum LogManager {}\ntype FileUtils = u8;").len(),
            3
        );
        assert!(rules("src/io/a.rs", "struct Contextual;\nuse std::task::Context;").is_empty());
        assert_eq!(rules("src/io/helpers.rs", "").len(), 1);
    }
}
