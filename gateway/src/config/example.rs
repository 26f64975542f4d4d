//! The example file: every key with its default, made from the calls that read them.

use std::fmt::Write;

use toml::de::DeTable;

use super::{reader::Reader, sections};

const HEADER: &str = "\
# Keyway's configuration. Every key is shown with its default (or, where it has none, with an example);
# take the `#` away to change it. `KEYWAY__SECTION__KEY` in the environment overrides a key.
# `keyway check --config FILE` reports all mistakes at once.
";

/// `config/keyway.toml`.
pub fn example() -> String {
    let empty = DeTable::new();
    let mut reader = Reader::new(&empty, []);
    sections::read(&mut reader);
    let mut text = HEADER.to_owned();
    let mut section = "";
    for key in &reader.keys {
        if key.section != section {
            section = key.section;
            push(&mut text, format_args!("\n[{section}]"));
        }
        for line in key.doc.lines() {
            push(&mut text, format_args!("# {line}"));
        }
        push(&mut text, format_args!("#{} = {}", key.key, key.shown));
    }
    text
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing into a String cannot fail");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const COMMITTED: &str = include_str!("../../../config/keyway.toml");

    /// Regenerate with `KEYWAY_WRITE_EXAMPLE=1 cargo test -p gateway --lib config::example`.
    #[test]
    fn the_committed_example_is_current() {
        if std::env::var_os("KEYWAY_WRITE_EXAMPLE").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/keyway.toml");
            std::fs::write(path, example()).expect("the example can be written");
            return;
        }
        assert_eq!(COMMITTED, example());
    }

    #[test]
    fn every_line_of_the_example_is_valid() {
        // Alternatives exclude each other, and these name files that are not here.
        let alternative = |line: &str| {
            [
                "tls_",
                "master_key_",
                "netbird_token_",
                "file =",
                "prices =",
                "otlp_",
                "postgresql_",
            ]
            .iter()
            .any(|key| line.trim_start_matches('#').starts_with(key))
        };
        let text: String = example()
            .lines()
            .filter(|line| !alternative(line))
            .map(|line| match line.strip_prefix('#') {
                Some(key) if !key.starts_with(' ') => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        Config::parse(Path::new("keyway.toml"), &text, []).expect("the example is valid");
    }
}
