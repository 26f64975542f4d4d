//! Counting tests by what their runners print.

use std::fmt;

/// Sums over runners.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Tests that skipped themselves and that their runner counts, or will count, as passed.
    passed_for_nothing: u64,
    /// What was skipped and why, one entry each.
    pub(crate) skips: Vec<String>,
}

/// Whose output is read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Format {
    Cargo,
    Pytest,
    /// Node's own runner, with the reporter `spec`.
    NodeTest,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.passed_for_nothing += other.passed_for_nothing;
        self.skips.extend(other.skips);
    }

    /// Something that could not be run here, and why.
    pub(crate) fn skip(&mut self, what: &str) {
        self.skipped += 1;
        self.skips.push(what.to_owned());
    }

    /// Takes one line of a runner's output.
    pub(crate) fn read_line(&mut self, format: Format, line: &str) {
        match format {
            Format::Cargo => self.read_cargo(line),
            Format::Pytest => self.read_pytest(line),
            Format::NodeTest => self.read_node(line),
        }
    }

    /// Tests that ran and found what they look for.
    pub(crate) fn passed(&self) -> u64 {
        self.passed.saturating_sub(self.passed_for_nothing)
    }

    /// `SKIPPED: a::b, reason`, `test a::b ... ignored, reason` and `test result: ok. 3 passed; 0 failed; 1 ignored; …`
    fn read_cargo(&mut self, line: &str) {
        if let Some(sums) = line.strip_prefix("test result: ") {
            let numbers = sums.split_once(". ").map_or("", |(_, numbers)| numbers);
            self.passed += before(numbers, " passed");
            self.failed += before(numbers, " failed");
            self.skipped += before(numbers, " ignored");
        } else if let Some(skip) = line.strip_prefix("SKIPPED: ") {
            // It found out when it ran; its runner takes it for passed.
            self.skipped += 1;
            self.passed_for_nothing += 1;
            self.skips.push(skip.to_owned());
        } else if let Some(test) = line.strip_prefix("test ")
            && let Some((name, reason)) = test.split_once(" ... ignored")
        {
            self.skips.push(format!("{name}{reason}"));
        }
    }

    /// `SKIPPED [2] file.py:3: reason` and `3 passed, 1 skipped in 2.10s`
    fn read_pytest(&mut self, line: &str) {
        if let Some(skip) = line.strip_prefix("SKIPPED [")
            && let Some((times, what)) = skip.split_once("] ")
        {
            let times = times.parse().unwrap_or(1);
            self.skips.extend((0..times).map(|_| what.to_owned()));
        } else if line.contains(" in ") && line.trim_end_matches('=').trim_end().ends_with('s') {
            self.passed += before(line, " passed");
            self.failed += before(line, " failed") + before(line, " error");
            self.skipped += before(line, " skipped");
        }
    }

    /// `﹣ name (0.1ms) # reason`, `ℹ pass 3` and `ℹ skipped 1`
    fn read_node(&mut self, line: &str) {
        if let Some(skip) = line.trim_start().strip_prefix("﹣ ") {
            let (name, reason) = skip.split_once(" # ").unwrap_or((skip, "no reason"));
            let name = name.rsplit_once(" (").map_or(name, |(name, _)| name);
            self.skips.push(format!("{name}, {reason}"));
        } else if let Some((what, number)) =
            line.strip_prefix("ℹ ").and_then(|sum| sum.split_once(' '))
        {
            let number: u64 = number.parse().unwrap_or(0);
            match what {
                "pass" => self.passed += number,
                "fail" | "cancelled" => self.failed += number,
                "skipped" => self.skipped += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            failed, skipped, ..
        } = self;
        let passed = self.passed();
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// The number that stands before a word; 0 without the word.
fn before(line: &str, word: &str) -> u64 {
    line.split_once(word)
        .and_then(|(before, _)| before.rsplit([' ', '=']).next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(format: Format, lines: &[&str]) -> Count {
        let mut count = Count::default();
        for line in lines {
            count.read_line(format, line);
        }
        count
    }

    #[test]
    fn cargo_sums_and_reasons_are_read() {
        let read = count(
            Format::Cargo,
            &[
                "running 4 tests",
                "test a::b ... ok",
                "test a::c ... ignored, needs root",
                "SKIPPED: a::d, no such kernel",
                "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
            ],
        );
        assert_eq!(read.to_string(), "6 passed, 1 failed, 2 skipped");
        assert_eq!(read.skips, ["a::c, needs root", "a::d, no such kernel"]);
    }

    #[test]
    fn pytest_sums_and_reasons_are_read() {
        let read = count(
            Format::Pytest,
            &[
                "SKIPPED [2] test_a.py:3: no network",
                "12 passed, 2 failed, 2 skipped, 1 warning in 2.10s",
                "==== 3 passed, 1 error in 61.00s (0:01:01) ====",
                "=== 1 passed in 0.5s ===",
            ],
        );
        assert_eq!((read.passed, read.failed, read.skipped), (13, 2, 2));
        assert_eq!(read.skips.len(), 2);
    }

    #[test]
    fn node_sums_and_reasons_are_read() {
        let read = count(
            Format::NodeTest,
            &[
                "✔ a (0.7ms)",
                "  ﹣ b (0.1ms) # no such program",
                "✖ c (2ms)",
                "ℹ tests 4",
                "ℹ pass 1",
                "ℹ fail 1",
                "ℹ cancelled 1",
                "ℹ skipped 1",
                "ℹ duration_ms 12.3",
            ],
        );
        assert_eq!((read.passed, read.failed, read.skipped), (1, 2, 1));
        assert_eq!(read.skips, ["b, no such program"]);
    }
}
