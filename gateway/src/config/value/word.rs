//! Words of a closed set, as values: one in quotes, or a list of them.

use super::{Given, Setting, list, show_list};
use crate::config::{
    AdmissionHook, AdmissionMode, Driver, IdentitySource, Keeper, LogFormat, WhenFull,
};

/// A type whose values are words.
trait Word: Copy + PartialEq + 'static {
    const WORDS: &[(&str, Self)];
}

impl Word for AdmissionMode {
    const WORDS: &[(&str, Self)] = &[
        ("required", Self::Required),
        ("preferred", Self::Preferred),
        ("off", Self::Off),
    ];
}

impl Word for AdmissionHook {
    const WORDS: &[(&str, Self)] = &[
        ("native", Self::Native),
        ("generic", Self::Generic),
        ("tc", Self::Tc),
    ];
}

impl Word for Driver {
    const WORDS: &[(&str, Self)] = &[
        ("auto", Self::Auto),
        ("io_uring", Self::IoUring),
        ("epoll", Self::Epoll),
    ];
}

impl Word for IdentitySource {
    const WORDS: &[(&str, Self)] = &[
        ("static", Self::Static),
        ("netbird", Self::Netbird),
        ("wireguard", Self::Wireguard),
    ];
}

impl Word for Keeper {
    const WORDS: &[(&str, Self)] = &[("node", Self::Node), ("unit", Self::Unit)];
}

impl Word for LogFormat {
    const WORDS: &[(&str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Word for WhenFull {
    const WORDS: &[(&str, Self)] = &[("refuse", Self::Refuse), ("serve", Self::Serve)];
}

impl<W: Word> Setting for W {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let names = W::WORDS.iter().map(|(name, _)| format!("\"{name}\""));
        let expected = format!("one of {}", names.collect::<Vec<_>>().join(", "));
        let text = given.text(&expected)?;
        let found = W::WORDS.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, word)| *word)
            .ok_or_else(|| format!("{text:?} is not {expected}"))
    }

    fn show(&self) -> String {
        format!("\"{}\"", name(self))
    }
}

impl Setting for Vec<AdmissionHook> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let hooks = list(given, ("a list of hooks", "a hook in quotes"), of_text)?;
        if hooks.is_empty() {
            return Err("must not be empty; `admission.mode` can be \"off\"".to_owned());
        }
        if has_twice(&hooks) {
            return Err("lists a hook twice".to_owned());
        }
        Ok(hooks)
    }

    fn show(&self) -> String {
        show_list(self.iter().map(|hook| name(hook).to_owned()))
    }
}

/// One in quotes, or a list.
impl Setting for Vec<IdentitySource> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let words = ("a source, or a list of sources", "a source in quotes");
        let sources = match given {
            Given::Toml(value) if value.as_str().is_some() => vec![IdentitySource::read(given)?],
            Given::Toml(_) | Given::Environment(_) => list(given, words, of_text)?,
        };
        if sources.is_empty() {
            return Err("must not be empty: nobody would be let in".to_owned());
        }
        if has_twice(&sources) {
            return Err("lists a source twice".to_owned());
        }
        Ok(sources)
    }

    fn show(&self) -> String {
        show_list(self.iter().map(|source| name(source).to_owned()))
    }
}

fn of_text<W: Word>(text: &str) -> Result<W, String> {
    W::read(Given::Environment(text))
}

fn name<W: Word>(word: &W) -> &'static str {
    let found = W::WORDS.iter().find(|(_, one)| one == word);
    found.expect("every word is listed").0
}

fn has_twice<W: Word>(words: &[W]) -> bool {
    let is_again = |(place, word): (usize, &W)| words[..place].contains(word);
    words.iter().enumerate().any(is_again)
}
