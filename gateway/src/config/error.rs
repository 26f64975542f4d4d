//! `ConfigError`: every mistake of a configuration at once, printed like a compiler prints them.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// Why a configuration was refused; holds every mistake that was found.
#[derive(Debug)]
pub struct ConfigError {
    path: PathBuf,
    text: String,
    problems: Vec<Problem>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// `section.key`; empty where the mistake belongs to no key.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Bytes of the file.
    Span(Range<usize>),
    /// An environment variable of this name.
    Environment(String),
    /// Not given at all: the default, or the file as a whole.
    File,
}

impl ConfigError {
    pub(super) fn new(path: &Path, text: &str, problems: Vec<Problem>) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            problems,
        }
    }

    /// In the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// 1-based line and column (in characters) of a byte of the file.
    fn position(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }

    fn write_problem(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        f.write_str("error: ")?;
        if !problem.key.is_empty() {
            write!(f, "{}: ", problem.key)?;
        }
        writeln!(f, "{}", problem.message)?;
        match &problem.place {
            Place::Span(span) => self.write_excerpt(f, span)?,
            Place::Environment(name) => writeln!(f, "  --> environment variable {name}")?,
            Place::File => writeln!(f, "  --> {}", self.path.display())?,
        }
        if let Some(help) = &problem.help {
            writeln!(f, "   = help: {help}")?;
        }
        Ok(())
    }

    fn write_excerpt(&self, f: &mut fmt::Formatter<'_>, span: &Range<usize>) -> fmt::Result {
        let (line, column) = self.position(span.start);
        writeln!(f, "  --> {}:{line}:{column}", self.path.display())?;
        let Some(source) = self.text.lines().nth(line - 1) else {
            return Ok(());
        };
        let rest = source.chars().count().saturating_sub(column - 1);
        let marked = self.text.get(span.clone()).map_or(1, |t| t.chars().count());
        writeln!(f, "{line:>4} | {source}")?;
        writeln!(
            f,
            "     | {}{}",
            " ".repeat(column - 1),
            "^".repeat(marked.min(rest).max(1))
        )
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            self.write_problem(f, problem)?;
            writeln!(f)?;
        }
        let count = self.problems.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{}: {count} mistake{plural}", self.path.display())
    }
}

impl std::error::Error for ConfigError {}
