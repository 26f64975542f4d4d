//! Entries and sums as text for other programs: JSON lines and CSV.

use serde::Serialize;

use super::{
    entry::AccessLogEntry,
    overview::{Sums, UsageBucket, UsageTotal},
};

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// An object per line, as listings have them.
    JsonLines,
    /// A heading and a line per entry (RFC 4180).
    Csv,
}

impl ExportFormat {
    pub const CODES: &'static [(&'static str, Self)] =
        &[("jsonl", Self::JsonLines), ("csv", Self::Csv)];

    /// What comes before the first entry.
    pub fn heading(self) -> Vec<u8> {
        match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => lines([ENTRY_COLUMNS.map(|(name, _)| name.to_owned())]),
        }
    }

    pub fn render(self, entries: &[AccessLogEntry]) -> Vec<u8> {
        match self {
            Self::JsonLines => entries.iter().flat_map(json_line).collect(),
            Self::Csv => lines(
                entries
                    .iter()
                    .map(|entry| ENTRY_COLUMNS.map(|(_, cell)| cell(entry))),
            ),
        }
    }
}

/// One line of JSON.
pub(super) fn json_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("entries are always JSON");
    line.push(b'\n');
    line
}

/// Periods of an overview as CSV.
pub fn buckets_csv(buckets: &[UsageBucket]) -> Vec<u8> {
    let rows = buckets
        .iter()
        .map(|bucket| sums(vec![bucket.period_start.clone()], &bucket.sums));
    lines(std::iter::once(sums_heading(&["period_start"])).chain(rows))
}

/// Totals as CSV.
pub fn totals_csv(totals: &[UsageTotal]) -> Vec<u8> {
    let rows = totals.iter().map(|total| {
        let name = vec![text(&total.key), text(&total.display_name)];
        sums(name, &total.sums)
    });
    lines(std::iter::once(sums_heading(&["key", "display_name"])).chain(rows))
}

type Cell<T> = fn(&T) -> String;

/// Columns keep their names and their order; new ones are added at the end.
const ENTRY_COLUMNS: [(&str, Cell<AccessLogEntry>); 57] = [
    ("id", |e| e.id.clone()),
    ("timestamp", |e| e.timestamp.clone()),
    ("status_code", |e| e.status_code.to_string()),
    ("duration_ms", |e| e.duration_ms.to_string()),
    ("user_id", |e| text(&e.user_id)),
    ("display_name", |e| text(&e.display_name)),
    ("group_ids", |e| text(&e.group_ids.join(" "))),
    ("source_ip", |e| e.source_ip.clone()),
    ("method", |e| text(&e.method)),
    ("host", |e| text(&e.host)),
    ("path", |e| text(&e.path)),
    ("provider", |e| e.provider.clone()),
    ("model", |e| text(&e.model)),
    ("operation", |e| e.operation.clone()),
    ("session_id", |e| text(&e.session_id)),
    ("resolved_provider_id", |e| text(&e.resolved_provider_id)),
    ("selected_policy_id", |e| text(&e.selected_policy_id)),
    ("decision", |e| e.decision.to_owned()),
    ("deny_reason", |e| e.deny_reason.clone()),
    ("outcome", |e| e.outcome.to_owned()),
    ("reason", |e| e.reason.clone()),
    ("response_flags", |e| e.response_flags.join(" ")),
    ("stream", |e| e.stream.to_string()),
    ("http_version", |e| e.http_version.to_string()),
    ("input_tokens", |e| e.amounts.input_tokens.to_string()),
    ("output_tokens", |e| e.amounts.output_tokens.to_string()),
    ("total_tokens", |e| e.amounts.total_tokens.to_string()),
    ("cached_input_tokens", |e| {
        e.amounts.cached_input_tokens.to_string()
    }),
    ("cache_creation_tokens", |e| {
        e.amounts.cache_creation_tokens.to_string()
    }),
    ("reasoning_tokens", |e| e.reasoning_tokens.to_string()),
    ("input_cost_usd", |e| e.amounts.input_cost_usd.to_string()),
    ("cached_input_cost_usd", |e| {
        e.amounts.cached_input_cost_usd.to_string()
    }),
    ("cache_creation_cost_usd", |e| {
        e.amounts.cache_creation_cost_usd.to_string()
    }),
    ("output_cost_usd", |e| e.amounts.output_cost_usd.to_string()),
    ("other_cost_usd", |e| e.amounts.other_cost_usd.to_string()),
    ("cost_usd", |e| e.amounts.cost_usd.to_string()),
    ("cost_source", |e| e.cost_source.to_owned()),
    ("unpriced", |e| e.unpriced.to_string()),
    ("left_out", |e| e.left_out.join(" ")),
    ("service_tier", |e| e.service_tier.to_owned()),
    ("regional", |e| e.regional.to_string()),
    ("time_to_first_token_ms", |e| {
        optional(e.time_to_first_token_ms)
    }),
    ("output_tokens_per_second", |e| {
        optional(e.output_tokens_per_second)
    }),
    ("upstream_connect_ms", |e| optional(e.upstream_connect_ms)),
    ("overhead_us", |e| e.overhead_us.to_string()),
    ("received_ms", |e| optional(e.timeline.received_ms)),
    ("reserved_ms", |e| optional(e.timeline.reserved_ms)),
    ("sent_ms", |e| optional(e.timeline.sent_ms)),
    ("first_byte_ms", |e| optional(e.timeline.first_byte_ms)),
    ("request_bytes", |e| e.request_bytes.to_string()),
    ("response_bytes", |e| e.response_bytes.to_string()),
    ("attempts", |e| e.attempts.len().to_string()),
    ("peer_id", |e| text(&e.peer_id)),
    ("agent_id", |e| text(&e.agent_id)),
    ("parent_agent_id", |e| text(&e.parent_agent_id)),
    ("trace_id", |e| e.trace_id.clone()),
    ("response_model", |e| text(&e.response_model)),
];

fn sums_heading(first: &[&str]) -> Vec<String> {
    let mut heading: Vec<String> = first.iter().map(|name| (*name).to_owned()).collect();
    heading.extend(SUM_COLUMNS.map(|(name, _)| name.to_owned()));
    heading
}

fn sums(mut first: Vec<String>, sums: &Sums) -> Vec<String> {
    first.extend(SUM_COLUMNS.map(|(_, cell)| cell(sums)));
    first
}

const SUM_COLUMNS: [(&str, Cell<Sums>); 16] = [
    ("request_count", |s| s.request_count.to_string()),
    ("denied_count", |s| s.denied_count.to_string()),
    ("failed_count", |s| s.failed_count.to_string()),
    ("unpriced_count", |s| s.unpriced_count.to_string()),
    ("input_tokens", |s| s.amounts.input_tokens.to_string()),
    ("output_tokens", |s| s.amounts.output_tokens.to_string()),
    ("total_tokens", |s| s.amounts.total_tokens.to_string()),
    ("cached_input_tokens", |s| {
        s.amounts.cached_input_tokens.to_string()
    }),
    ("cache_creation_tokens", |s| {
        s.amounts.cache_creation_tokens.to_string()
    }),
    ("input_cost_usd", |s| s.amounts.input_cost_usd.to_string()),
    ("cached_input_cost_usd", |s| {
        s.amounts.cached_input_cost_usd.to_string()
    }),
    ("cache_creation_cost_usd", |s| {
        s.amounts.cache_creation_cost_usd.to_string()
    }),
    ("output_cost_usd", |s| s.amounts.output_cost_usd.to_string()),
    ("other_cost_usd", |s| s.amounts.other_cost_usd.to_string()),
    ("cost_usd", |s| s.amounts.cost_usd.to_string()),
    ("cache_cost_usd", |s| s.amounts.cache_cost_usd.to_string()),
];

fn lines<R>(rows: impl IntoIterator<Item = R>) -> Vec<u8>
where
    R: IntoIterator<Item = String>,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(row)
            .expect("rows have one length, and memory takes them");
    }
    writer.into_inner().expect("memory takes everything")
}

/// Text that others chose. Spreadsheets take cells that begin so for formulas: these get a `'` before them,
/// which spreadsheets hide.
fn text(value: &str) -> String {
    match value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{value}"),
        false => value.to_owned(),
    }
}

fn optional(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::handoff::record::{ExchangeRecord, tests::sample};

    fn exported(record: &ExchangeRecord<'_>, format: ExportFormat) -> String {
        let mut text = format.heading();
        text.extend(format.render(&[AccessLogEntry::of(record)]));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn csv_has_a_heading_and_exact_money() {
        let text = exported(&sample(), ExportFormat::Csv);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let heading = reader.headers().unwrap().clone();
        let row = reader.records().next().unwrap().unwrap();
        let cell = |name: &str| {
            let place = heading.iter().position(|column| column == name);
            row.get(place.unwrap()).unwrap()
        };
        assert_eq!(cell("id"), "019e7044887b00010200000000000001");
        assert_eq!(cell("cost_usd"), "0.0384");
        assert_eq!(cell("group_ids"), "engineers everyone");
        assert_eq!(cell("first_byte_ms"), "180");
        assert_eq!(cell("attempts"), "1");
        assert!(reader.records().next().is_none());
    }

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        let nasty = ExchangeRecord {
            model: "=HYPERLINK(\"http://x\")",
            session_id: "a,b\n\"c\"",
            display_name: "@SUM(1)",
            ..sample()
        };
        let text = exported(&nasty, ExportFormat::Csv);
        assert!(text.contains(r#","'=HYPERLINK(""http://x"")","#), "{text}");
        assert!(text.contains(",'@SUM(1),"), "{text}");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let row = reader.records().next().unwrap().unwrap();
        assert!(row.iter().any(|cell| cell == "a,b\n\"c\""));
    }

    #[test]
    fn json_lines_are_a_line_each() {
        let text = exported(&sample(), ExportFormat::JsonLines);
        assert_eq!(text.matches('\n').count(), 1);
        let entry: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(entry["total_tokens"], 1840);
        assert!(entry.get("sequence").is_none());
    }
}
