//! The report as Markdown, with columns that line up in a terminal too.

use std::fmt::Write as _;

use super::{CaseReport, IdleFigures, LoadFigures, Measured, Report, Row, Rows};
use crate::{case::Target, stats::Spread};

/// Above this share of its core, the driver limits what a proxy can reach.
const DRIVER_SHARE_HIGH: f64 = 0.95;

const LOAD_COLUMNS: [&str; 11] = [
    "proxy",
    "per second",
    "CPU µs",
    "of it control plane",
    "catch-up µs",
    "p50 µs",
    "p99 µs",
    "proxy core",
    "driver core",
    "nginx CPU ÷ its CPU",
    "target",
];

const IDLE_COLUMNS: [&str; 4] = ["proxy", "RSS KiB each", "PSS KiB each", "target"];

/// One case: its table, and notes below it.
pub(crate) fn case(case: &CaseReport) -> String {
    let mut notes = Vec::new();
    let mut lines: Vec<Vec<String>> = Vec::new();
    match &case.rows {
        Rows::Load(rows) => {
            lines.push(LOAD_COLUMNS.map(str::to_owned).to_vec());
            for row in rows {
                let verdict = verdict(row, case.target);
                match &row.measured {
                    Measured::Figures(figures) => {
                        lines.push(load_line(row.proxy, figures, verdict));
                        notes.extend(load_notes(row.proxy, figures));
                    }
                    Measured::Error(error) => notes.push(format!("{}: {error}", row.proxy)),
                }
            }
        }
        Rows::Idle(rows) => {
            lines.push(IDLE_COLUMNS.map(str::to_owned).to_vec());
            for row in rows {
                let verdict = verdict(row, case.target);
                match &row.measured {
                    Measured::Figures(figures) => {
                        lines.push(idle_line(row.proxy, figures, verdict));
                    }
                    Measured::Error(error) => notes.push(format!("{}: {error}", row.proxy)),
                }
            }
        }
    }
    let mut text = format!("### {}\n\n{}", case.title, aligned(&lines));
    for note in notes {
        let _ = write!(text, "\n- {note}\n");
    }
    text
}

/// The whole report, as it is kept in a file.
pub(crate) fn document(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = String::from("# Side by side\n\nWritten by `cargo xtask bench --write`.\n\n");
    let mut item = |name: &str, value: &str| {
        let _ = writeln!(text, "- {name}: {value}");
    };
    item("date", &machine.date);
    let cores = format!("{}, {} cores", machine.processor, machine.cores);
    item("processor", &cores);
    item("system", &format!("{}, {}", machine.system, machine.kernel));
    item("compiler", &machine.compiler);
    item("load average at the start", &machine.load_average);
    item("arguments", &format!("`{}`", report.arguments));
    for proxy in &report.proxies {
        item(proxy.name, &proxy.version);
    }
    for setting in &report.settings {
        let _ = writeln!(text, "- {setting}");
    }
    let _ = write!(text, "\n{READING}");
    for report in &report.cases {
        let _ = write!(text, "\n{}", case(report));
    }
    text
}

const READING: &str = "\
CPU µs is the time of all threads of the proxy within the measured window, kernel included, per request
(per event for SSE). Catch-up is what its control plane spends after the window, until it rests. The
ratio is nginx's CPU µs divided by the proxy's, taken within each round: median, lowest and highest
round in brackets, and in square brackets the median with the catch-up added to the proxy's time.
";

fn load_line(proxy: &str, figures: &LoadFigures, verdict: String) -> Vec<String> {
    vec![
        proxy.to_owned(),
        format!("{:.0}", figures.per_second),
        format!("{:.2}", figures.cpu_us),
        format!("{:.2}", figures.control_plane_us),
        format!("{:.2}", figures.catch_up_us),
        format!("{:.0}", figures.p50_us),
        format!("{:.0}", figures.p99_us),
        format!("{:.0} %", figures.proxy_share * 100.0),
        format!("{:.0} %", figures.driver_share * 100.0),
        ratio(figures),
        verdict,
    ]
}

fn ratio(figures: &LoadFigures) -> String {
    let Some(Spread { median, min, max }) = figures.ratio else {
        return "–".to_owned();
    };
    let mut text = format!("{median:.2} ({min:.2}–{max:.2})");
    if figures.catch_up_us > 0.0
        && let Some(with_catch_up) = figures.ratio_with_catch_up
    {
        let _ = write!(text, " [{:.2}]", with_catch_up.median);
    }
    text
}

fn load_notes(proxy: &str, figures: &LoadFigures) -> Vec<String> {
    let mut notes = Vec::new();
    if figures.failed > 0 {
        let first = figures.first_failure.as_deref().unwrap_or_default();
        notes.push(format!(
            "{proxy}: {} requests failed, the first with `{}`",
            figures.failed,
            first.escape_debug()
        ));
    }
    if figures.driver_share > DRIVER_SHARE_HIGH {
        notes.push(format!(
            "{proxy}: the driver's core is the limit: compare CPU, not rates or latencies"
        ));
    }
    notes
}

fn idle_line(proxy: &str, figures: &IdleFigures, verdict: String) -> Vec<String> {
    vec![
        proxy.to_owned(),
        format!("{:.1}", figures.rss_kib),
        format!("{:.1}", figures.pss_kib),
        verdict,
    ]
}

fn verdict<T>(row: &Row<T>, target: Option<Target>) -> String {
    let (Some(met), Some(target)) = (row.met, target) else {
        return String::new();
    };
    let met = if met { "met" } else { "missed" };
    match target {
        Target::Ratio(least) => format!("≥ {least}: {met}"),
        Target::IdleKib(most) => format!("≤ {most} KiB: {met}"),
    }
}

/// A Markdown table; the first line is its head, the first column is text, the others are numbers.
fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            let _ = if column == 0 {
                write!(text, "| {cell:width$} ")
            } else {
                write!(text, "| {cell:>width$} ")
            };
        }
        text.push_str("|\n");
        if i == 0 {
            for (column, width) in widths.iter().enumerate() {
                let _ = if column == 0 {
                    write!(text, "|{:-<1$}", "", width + 2)
                } else {
                    write!(text, "|{:-<1$}:", "", width + 1)
                };
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let line = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = aligned(&[line(["proxy", "µs"]), line(["x", "12.5"])]);
        assert_eq!(
            table,
            "| proxy |   µs |\n|-------|-----:|\n| x     | 12.5 |\n"
        );
    }
}
