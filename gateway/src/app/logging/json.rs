//! One JSON object per line: `timestamp`, `level`, `target`, `message`, and an object `fields` with what is
//! said besides, so that no field can be taken for one of the others.

use std::{
    error::Error,
    fmt::{self, Debug},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

pub(super) struct JsonLines;

#[derive(Serialize)]
struct Line<'e> {
    timestamp: Timestamp,
    level: &'static str,
    target: &'e str,
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let line = Line {
            timestamp: Timestamp::now(),
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            message: said.message,
            fields: said.fields,
        };
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.put(field, text),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.put(field, value),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put(field, value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use super::*;
    use crate::app::logging::journal::Prefixed;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn speak() {
        let nobody: Option<u64> = None;
        let error = io::Error::other("disk \"full\"");
        tracing::warn!(target: "node", level = 3, ok = true, ratio = 0.5, nobody, %error, "not\nwell");
        tracing::error!(error = &error as &dyn Error, path = ?"/a", "worse");
    }

    #[test]
    fn a_line_has_stable_fields() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(JsonLines)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, speak);
        let text = lines.text();
        let read: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read.len(), 2, "{text}");
        let at = |line: usize, key: &str| read[line][key].clone();
        assert!(
            at(0, "timestamp")
                .as_str()
                .unwrap()
                .parse::<Timestamp>()
                .is_ok()
        );
        assert_eq!(
            [at(0, "level"), at(0, "target"), at(0, "message")],
            ["WARN", "node", "not\nwell"]
        );
        assert_eq!(
            at(0, "fields"),
            serde_json::json!({"level": 3, "ok": true, "ratio": 0.5, "error": "disk \"full\""})
        );
        assert_eq!(
            at(1, "fields"),
            serde_json::json!({"error": "disk \"full\"", "path": "\"/a\""})
        );
    }

    #[test]
    fn the_journal_learns_the_priority() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Prefixed(JsonLines))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, speak);
        let text = lines.text();
        let starts: Vec<_> = text.lines().map(|line| &line[..4]).collect();
        assert_eq!(starts, ["<4>{", "<3>{"]);
    }
}
