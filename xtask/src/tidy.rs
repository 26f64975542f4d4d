//! `cargo xtask tidy`: rules of the repository that no compiler knows.

mod layers;

use std::{fs, path::Path};

use anyhow::{Result, bail};

use crate::{
    catalog,
    command::{read, root, words},
};

/// Longest source file, in lines.
const LINES_LIMIT: usize = 600;
/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];
/// What must not be committed. Split, so that this file may be.
const LEFTOVERS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX:"),
    concat!("dbg", "!("),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

pub(crate) fn run() -> Result<()> {
    let files = read(words(["git", "ls-files", "-z"]).current_dir(root()), "")?;
    let mut problems = Vec::new();
    for path in files.split('\0').filter(|path| !path.is_empty()) {
        // Recorded bodies and corpora are bytes as they came.
        let is_text = ["rs", "toml", "md", "py", "in", "yml", "service"]
            .iter()
            .any(|extension| {
                Path::new(path)
                    .extension()
                    .is_some_and(|own| own == *extension)
            });
        if !is_text {
            continue;
        }
        // A file that is deleted but not yet committed is still listed.
        if let Ok(text) = fs::read_to_string(root().join(path)) {
            check(path, &text, &mut problems);
            layers::check(path, &text, &mut problems);
        }
    }
    example_config(&mut problems)?;
    problems.extend(catalog::problem()?);
    if problems.is_empty() {
        return Ok(());
    }
    for problem in &problems {
        println!("{problem}");
    }
    bail!("{} things to tidy", problems.len());
}

fn check(path: &str, text: &str, problems: &mut Vec<String>) {
    let is_rust = path.ends_with(".rs");
    let lines = text.lines().count();
    if is_rust && lines > LINES_LIMIT && !LONG_FILES.iter().any(|(file, _)| *file == path) {
        problems.push(format!(
            "{path}: {lines} lines; look for the second noun in it"
        ));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line != line.trim_end() {
            problems.push(format!("{path}:{number}: space at the end of the line"));
        }
        if let Some(word) = LEFTOVERS.iter().find(|word| line.contains(**word)) {
            problems.push(format!("{path}:{number}: {word}"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        problems.push(format!("{path}: no newline at the end"));
    }
    if path.ends_with("/mod.rs") {
        problems.push(format!("{path}: name the file after its module"));
    }
}

/// The example must be what the defaults say; the gateway's own test compares them, tidy only makes
/// sure that both are there.
fn example_config(problems: &mut Vec<String>) -> Result<()> {
    if !root().join("config/keyway.toml").is_file() {
        problems.push("config/keyway.toml is missing".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_untidy() {
        for (path, text, expected) in [
            ("a.rs", "fn a() {}\n".to_owned(), 0),
            ("a.rs", "fn a() {} \n".to_owned(), 1),
            ("a.rs", format!("// {}: later\n", LEFTOVERS[0]), 1),
            ("a.rs", "fn a() {}".to_owned(), 1),
            ("a/mod.rs", "fn a() {}\n".to_owned(), 1),
            ("a.rs", "\n".repeat(LINES_LIMIT + 1), 1),
            ("a.md", "\n".repeat(LINES_LIMIT + 1), 0),
        ] {
            let mut problems = Vec::new();
            check(path, &text, &mut problems);
            assert_eq!(problems.len(), expected, "{path}: {problems:?}");
        }
    }
}
