//! What commands print: quiet tables for people, JSON for programs.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::ValueEnum;
use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, presets::NOTHING,
};
use serde_json::Value;

use super::{Failure, lookup::items};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
}

/// Where results go.
pub(super) struct Output {
    format: Format,
    writer: Box<dyn Write>,
    /// Bold headings and the terminal's width.
    is_styled: bool,
    is_terminal: bool,
}

/// A column's heading, and which side its cells lean on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Left(&'static str),
    /// What people copy: never broken over lines.
    Whole(&'static str),
    /// Numbers.
    Right(&'static str),
    /// Numbers whose points stand below each other.
    Amount(&'static str),
}

impl Output {
    pub(super) fn stdout(format: Format) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            format,
            writer: Box::new(BufWriter::new(io::stdout())),
            is_styled: is_terminal && !no_colour,
            is_terminal,
        }
    }

    #[cfg(test)]
    pub(super) fn to_writer(format: Format, writer: impl Write + 'static) -> Self {
        Self {
            format,
            writer: Box::new(writer),
            is_styled: false,
            is_terminal: false,
        }
    }

    /// Somebody reads along.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// A listing as it is, or as a table of a row per item; `when_empty` says what that means, or what to
    /// do next.
    pub(super) fn list(
        &mut self,
        listing: &Value,
        columns: &[Column],
        when_empty: &str,
        row: impl Fn(&Value) -> Vec<String>,
    ) -> Result<(), Failure> {
        self.show(listing, columns, when_empty, || {
            items(listing).iter().map(row).collect()
        })
    }

    /// `value` as it is, or as a table; see [`list`](Self::list).
    pub(super) fn show(
        &mut self,
        value: &Value,
        columns: &[Column],
        when_empty: &str,
        rows: impl FnOnce() -> Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(value),
            Format::Table => match rows() {
                rows if rows.is_empty() => self.note(when_empty),
                rows => self.table(columns, rows),
            },
        }
    }

    /// `value` as it is, or as lines of name and value; a value that is empty is left out.
    pub(super) fn show_fields(
        &mut self,
        value: &Value,
        fields: impl FnOnce() -> Vec<(&'static str, String)>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(value),
            Format::Table => {
                let mut fields = fields();
                fields.retain(|(_, text)| !text.is_empty());
                let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                for (name, text) in fields {
                    writeln!(self.writer, "{name:width$}  {text}")?;
                }
                Ok(())
            }
        }
    }

    pub(super) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        writeln!(self.writer, "{value:#}")?;
        Ok(())
    }

    /// A line for people; programs get what `show` printed.
    pub(super) fn note(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        match self.format {
            Format::Json => {}
            Format::Table => writeln!(self.writer, "{text}")?,
        }
        Ok(())
    }

    /// Text that is the result itself, whatever the format.
    pub(super) fn raw(&mut self, text: &str) -> Result<(), Failure> {
        self.raw_bytes(text.as_bytes())
    }

    /// As [`raw`](Self::raw), for pieces that may end in the middle of a character.
    pub(super) fn raw_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes)?;
        Ok(())
    }

    /// A second table for people; programs get what `show_fields` printed.
    pub(super) fn table_for_people(
        &mut self,
        columns: &[Column],
        rows: Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => Ok(()),
            Format::Table => self.table(columns, rows),
        }
    }

    fn table(&mut self, columns: &[Column], mut rows: Vec<Vec<String>>) -> Result<(), Failure> {
        for (index, column) in columns.iter().enumerate() {
            if matches!(column, Column::Amount(_)) {
                align_points(&mut rows, index);
            }
        }
        let mut table = Table::new();
        table.load_style(NOTHING);
        if self.is_terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        } else {
            table.force_no_tty();
        }
        table.set_header(columns.iter().map(|column| {
            let cell = Cell::new(column.heading());
            if self.is_styled {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        table.add_rows(rows);
        for (cells, column) in table.column_iter_mut().zip(columns) {
            cells.set_padding((0, 2));
            cells.set_cell_alignment(column.alignment());
            match column {
                Column::Left(_) => {}
                Column::Whole(_) | Column::Right(_) | Column::Amount(_) => {
                    cells.set_constraint(ColumnConstraint::ContentWidth);
                }
            }
        }
        for line in table.lines() {
            let line = line.replace(NO_BREAK_SPACE, " ");
            writeln!(self.writer, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Hands everything to the operating system.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        Ok(self.writer.flush()?)
    }
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Left(heading)
            | Self::Whole(heading)
            | Self::Right(heading)
            | Self::Amount(heading) => heading,
        }
    }

    fn alignment(self) -> CellAlignment {
        match self {
            Self::Left(_) | Self::Whole(_) => CellAlignment::Left,
            Self::Right(_) | Self::Amount(_) => CellAlignment::Right,
        }
    }
}

/// A failure, on the error output.
pub(super) fn complain(message: &str) {
    // A report of several mistakes has its own headings.
    let prefix = if message.starts_with("error: ") {
        ""
    } else {
        "keyway: "
    };
    // Nothing to do when the error output is closed.
    let _ = writeln!(io::stderr(), "{prefix}{message}");
}

/// How far something has come, in a line that replaces itself; nothing where nobody watches.
pub(super) fn progress(text: &str) {
    if io::stderr().is_terminal() {
        // Nothing to do when the error output is closed.
        let _ = write!(io::stderr(), "\r{text}\x1b[K");
    }
}

/// A line about what goes on, beside the result.
pub(super) fn aside(line: &str) {
    // Nothing to do when the error output is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

/// `1234567` as `1 234 567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Dollars with four decimals, and as many more as two digits of a tiny amount need.
pub(super) fn dollars(amount: f64) -> String {
    // Costs are counted in billionths.
    let exact = format!("{amount:.9}");
    let fraction = exact.strip_prefix("0.").unwrap_or_default();
    let zeros = fraction.bytes().take_while(|digit| *digit == b'0').count();
    if zeros + 1 < DECIMALS || zeros == fraction.len() {
        return format!("{amount:.DECIMALS$}");
    }
    let digits = fraction.len().min(zeros + 2);
    let shown = format!("{amount:.digits$}");
    // A second digit that is zero says nothing.
    shown.strip_suffix('0').unwrap_or(&shown).to_owned()
}

/// Decimals of an amount that is not tiny.
const DECIMALS: usize = 4;

/// Fills up behind the cells of a column, so that their points stand below each other.
fn align_points(rows: &mut [Vec<String>], column: usize) {
    let behind = |cell: &str| cell.rfind('.').map_or(0, |point| cell.len() - point);
    let cells = || rows.iter().filter_map(|row| row.get(column));
    let widest = cells().map(|cell| behind(cell)).max().unwrap_or(0);
    for cell in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
        let missing = match behind(cell) {
            // Not an amount.
            0 => 0,
            decimals => widest - decimals,
        };
        // A plain space at the end would be cut off.
        cell.extend(std::iter::repeat_n(NO_BREAK_SPACE, missing));
    }
}

const NO_BREAK_SPACE: char = '\u{a0}';

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A writer whose text can be read afterwards.
    #[derive(Clone, Default)]
    pub(in crate::cli) struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub(in crate::cli) fn text(&self) -> String {
            let bytes = self.0.lock().expect("no test panics here").clone();
            String::from_utf8(bytes).expect("we print text")
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("no test panics here")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn tiny_amounts_keep_their_digits() {
        for (amount, expected) in [
            (0.0, "0.0000"),
            (0.5, "0.5000"),
            (12.34567, "12.3457"),
            (0.00123, "0.0012"),
            (0.00012, "0.00012"),
            (0.0001, "0.0001"),
            (0.000_012, "0.000012"),
            (0.000_000_15, "0.00000015"),
            (0.000_000_001, "0.000000001"),
            (0.000_000_000_1, "0.0000"),
        ] {
            assert_eq!(dollars(amount), expected);
        }
    }

    #[test]
    fn points_of_amounts_stand_below_each_other() {
        let page = Page::default();
        let mut output = Output::to_writer(Format::Table, page.clone());
        let amounts = [dollars(12.0), dollars(0.000_012), "no price".to_owned()];
        let rows = amounts.map(|amount| vec!["x".to_owned(), amount]).to_vec();
        output
            .table(&[Column::Left("A"), Column::Amount("COST $")], rows)
            .unwrap();
        output.finish().unwrap();
        assert_eq!(
            page.text(),
            "A     COST $\nx  12.0000\nx   0.000012\nx   no price\n"
        );
    }

    #[test]
    fn tables_are_quiet_and_numbers_lean_right() {
        let page = Page::default();
        let mut output = Output::to_writer(Format::Table, page.clone());
        output
            .table(
                &[
                    Column::Left("DAY"),
                    Column::Right("TOKENS"),
                    Column::Right("COST"),
                ],
                vec![
                    vec!["2026-11-22".into(), grouped(999), dollars(0.5)],
                    vec!["2026-11-23".into(), grouped(1_234_567), dollars(12.0)],
                ],
            )
            .expect("a page takes everything");
        let expected = "\
DAY            TOKENS     COST
2026-11-22        999   0.5000
2026-11-23  1 234 567  12.0000
";
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn fields_are_aligned_and_json_is_whole() {
        let value = serde_json::json!({"name": "OpenAI"});
        let page = Page::default();
        let fields = || {
            vec![
                ("name", "OpenAI".to_owned()),
                ("upstream", "https://x".to_owned()),
                ("no value", String::new()),
            ]
        };
        Output::to_writer(Format::Table, page.clone())
            .show_fields(&value, fields)
            .expect("a page takes everything");
        assert_eq!(page.text(), "name      OpenAI\nupstream  https://x\n");

        let page = Page::default();
        let mut output = Output::to_writer(Format::Json, page.clone());
        output
            .show_fields(&value, fields)
            .expect("a page takes everything");
        output.note("for people").expect("a page takes everything");
        assert_eq!(page.text(), "{\n  \"name\": \"OpenAI\"\n}\n");
    }
}
