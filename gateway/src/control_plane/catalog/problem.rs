//! What is wrong with the catalog's files, all of it at once, each with its place.

use std::{collections::HashMap, fmt, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: File,
    /// From 1; `None` where the mistake is the file's as a whole.
    pub line: Option<usize>,
    /// Which entry or model, such as `entry openai_api` or `openai."gpt-4o"`.
    pub place: String,
    pub message: String,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    Catalog,
    Prices,
}

/// Why the files were refused; holds every mistake that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogError {
    pub problems: Vec<Problem>,
    /// How the files are called in messages.
    catalog: String,
    prices: String,
}

impl CatalogError {
    /// `None` stands for a compiled-in file.
    pub(super) fn new(
        problems: Vec<Problem>,
        catalog: Option<&Path>,
        prices: Option<&Path>,
    ) -> Self {
        let name = |path: Option<&Path>, built_in: &str| {
            path.map_or_else(|| built_in.to_owned(), |path| path.display().to_string())
        };
        Self {
            problems,
            catalog: name(catalog, "the compiled-in catalog"),
            prices: name(prices, "the compiled-in prices"),
        }
    }
}

impl CatalogError {
    /// Of prices that came in the place of the node's own.
    pub(super) fn of_update(problems: Vec<Problem>) -> Self {
        Self {
            prices: "the update".to_owned(),
            ..Self::new(problems, None, None)
        }
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            let file = match problem.file {
                File::Catalog => &self.catalog,
                File::Prices => &self.prices,
            };
            write!(f, "{separator}{file}")?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if !problem.place.is_empty() {
                write!(f, ": {}", problem.place)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for CatalogError {}

/// Collects the mistakes of one file.
pub(super) struct Problems {
    file: File,
    lines: HashMap<String, usize>,
    pub(super) found: Vec<Problem>,
}

impl Problems {
    /// `text` is the file's; from it come the lines of its entries or models.
    pub(super) fn new(file: File, text: &str) -> Self {
        let (document, _) = DeTable::parse_recoverable(text);
        let root = document.get_ref();
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        let mut lines = HashMap::new();
        match file {
            File::Catalog => {
                let entries = root.get("entry").and_then(|all| all.get_ref().as_array());
                for (number, entry) in (1..).zip(entries.into_iter().flat_map(|all| all.iter())) {
                    // The span of a `[[entry]]` is its header.
                    lines.insert(entry_place(number, entry), line(entry.span().start));
                }
            }
            File::Prices => {
                for (surface, models) in root {
                    let surface: &str = surface.get_ref();
                    for id in models
                        .get_ref()
                        .as_table()
                        .into_iter()
                        .flat_map(|t| t.keys())
                    {
                        let place = format!("{surface}.{:?}", id.get_ref());
                        lines.insert(place, line(id.span().start));
                    }
                }
            }
        }
        Self {
            file,
            lines,
            found: Vec::new(),
        }
    }

    /// `place` may go on behind the name of an entry or model.
    pub(super) fn add(&mut self, place: &str, message: impl Into<String>) {
        let mut named = place;
        let line = loop {
            match (self.lines.get(named), named.rfind('.')) {
                (Some(line), _) => break Some(*line),
                (None, Some(dot)) => named = &named[..dot],
                (None, None) => break None,
            }
        };
        self.found.push(Problem {
            file: self.file,
            line,
            place: place.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn take<T>(&mut self, place: &str, result: Result<T, impl ToString>) -> Option<T> {
        result
            .map_err(|error| self.add(place, error.to_string().trim()))
            .ok()
    }
}

/// As entries are called: by id, or where they have none by number.
fn entry_place(number: usize, entry: &Spanned<DeValue<'_>>) -> String {
    let id = entry
        .get_ref()
        .get("id")
        .and_then(|id| id.get_ref().as_str());
    id.map_or_else(|| format!("entry {number}"), |id| format!("entry {id}"))
}
