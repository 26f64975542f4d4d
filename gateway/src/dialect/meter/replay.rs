//! Replays the recorded bodies of `tests/corpus`: whole, cut in two at every byte, byte by byte, with
//! each kind of line end and compressed. What is passed on and what is metered must always agree.

use std::{collections::BTreeMap, fs, io::Write, path::PathBuf};

use flate2::{Compression, write};
use serde::Deserialize;

use super::{Dialect, Meter, Metered, Operation};
use crate::{
    dialect::{event_stream, sse::EVENT_BYTES_LIMIT},
    handoff::record::{Terms, Usage},
};

/// `<name>.expected.json` beside `<name>.sse`, `<name>.eventstream`, `<name>.ndjson` or `<name>.json`.
#[derive(Debug, Deserialize)]
struct Expected {
    dialect: String,
    operation: String,
    status: u16,
    /// Fields of the answer's head that the meter reads.
    #[serde(default)]
    head: BTreeMap<String, String>,
    usage: Option<Usage>,
    #[serde(default)]
    terms: Terms,
    /// As the provider reports it, in dollars × 10⁻⁹.
    reported_cost: Option<u64>,
    object: Option<Box<str>>,
    model: Option<Box<str>>,
    complete: bool,
    error_event: bool,
    content_started: bool,
    /// The chunk that is not passed on when usage chunks are hidden.
    hidden: Option<String>,
}

struct Recorded {
    name: String,
    content_type: &'static str,
    /// Lines may end in three ways.
    is_stream: bool,
    body: Vec<u8>,
    expected: Expected,
}

fn corpus() -> Vec<Recorded> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let Some(name) = file.strip_suffix(".expected.json") else {
            continue;
        };
        let kinds = [
            ("sse", "text/event-stream; charset=utf-8"),
            ("eventstream", event_stream::MEDIA_TYPE),
            ("ndjson", "application/x-ndjson"),
            ("json", "application/json"),
        ];
        let (extension, content_type, body) = kinds
            .into_iter()
            .map(|(extension, content_type)| {
                let body = path.with_file_name(format!("{name}.{extension}"));
                (extension, content_type, body)
            })
            .find(|(_, _, body)| body.exists())
            .unwrap();
        all.push(Recorded {
            name: name.to_owned(),
            content_type,
            is_stream: extension == "sse",
            body: fs::read(body).unwrap(),
            expected: serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(),
        });
    }
    assert!(all.len() > 30, "the corpus is gone");
    all
}

impl Recorded {
    fn meter(&self, encoding: &str, hide: bool) -> Meter {
        let dialect = Dialect::from_code(&self.expected.dialect).unwrap();
        let operation = [
            Operation::ChatCompletions,
            Operation::Completions,
            Operation::Responses,
            Operation::StoredResponse,
            Operation::Embeddings,
            Operation::Messages,
            Operation::CountTokens,
            Operation::Invoke,
            Operation::InvokeStream,
            Operation::Converse,
            Operation::ConverseStream,
            Operation::Unmetered,
            Operation::GenerateContent,
            Operation::StreamGenerateContent,
            Operation::CountContentTokens,
            Operation::EmbedContent,
            Operation::ListModels,
            Operation::Other,
        ]
        .into_iter()
        .find(|operation| operation.code() == self.expected.operation)
        .unwrap();
        let status = self.expected.status;
        let mut meter = Meter::new(
            dialect,
            operation,
            status,
            self.content_type.as_bytes(),
            encoding.as_bytes(),
            hide,
        );
        if operation == Operation::Invoke {
            let head = &self.expected.head;
            meter.read_head(|name| head.get(name).map(String::as_bytes));
        }
        meter
    }

    fn metered(&self) -> Metered {
        Metered {
            usage: self.expected.usage,
            terms: self.expected.terms,
            cost: self.expected.reported_cost,
            object: self.expected.object.clone(),
            model: self.expected.model.clone(),
            complete: self.expected.complete,
            error_event: self.expected.error_event,
            content_started: self.expected.content_started,
            least: None,
        }
    }

    /// Feeds `body` cut in two at every byte, and in small pieces; expects `forwarded` each time.
    fn replay(&self, body: &[u8], forwarded: &[u8], encoding: &str, hide: bool) {
        for at in 0..=body.len() {
            let (left, right) = body.split_at(at);
            self.run(&[left, right], forwarded, encoding, hide);
        }
        self.replay_in_pieces(body, forwarded, encoding, hide);
    }

    fn replay_in_pieces(&self, body: &[u8], forwarded: &[u8], encoding: &str, hide: bool) {
        for size in [1, 7] {
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            self.run(&pieces, forwarded, encoding, hide);
        }
    }

    fn run(&self, pieces: &[&[u8]], forwarded: &[u8], encoding: &str, hide: bool) {
        let meter = self.meter(encoding, hide);
        self.run_with(meter, pieces, forwarded, (encoding, hide));
    }

    /// Returns what is known at the end.
    fn run_with(
        &self,
        mut meter: Meter,
        pieces: &[&[u8]],
        forwarded: &[u8],
        (encoding, hide): (&str, bool),
    ) -> Metered {
        let mut out = Vec::with_capacity(forwarded.len());
        for piece in pieces {
            meter.feed(piece, &mut |bytes| out.extend_from_slice(bytes));
        }
        meter.finish(&mut |bytes| out.extend_from_slice(bytes));
        let name = &self.name;
        let (count, first) = (pieces.len(), pieces[0].len());
        let metered = meter.metered();
        let told = Metered {
            least: None,
            ..metered.clone()
        };
        assert!(
            told == self.metered() && out == forwarded,
            "{name} {encoding} hide={hide}, {count} pieces, the first of {first} bytes: {metered:?}, {}",
            String::from_utf8_lossy(&out)
        );
        metered
    }
}

fn with_line_ends(body: &[u8], end: &str) -> Vec<u8> {
    String::from_utf8(body.to_vec())
        .unwrap()
        .replace('\n', end)
        .into_bytes()
}

#[test]
fn recorded_bodies_meter_the_same_however_they_are_cut() {
    for recorded in corpus() {
        recorded.replay(&recorded.body, &recorded.body, "", false);
        if recorded.is_stream {
            for end in ["\r\n", "\r"] {
                let body = with_line_ends(&recorded.body, end);
                recorded.replay(&body, &body, "identity", false);
            }
        }
    }
}

#[test]
fn only_the_usage_chunk_is_hidden() {
    let mut hidden = 0;
    for recorded in corpus() {
        let without = match &recorded.expected.hidden {
            Some(chunk) => {
                hidden += 1;
                let body = String::from_utf8(recorded.body.clone()).unwrap();
                body.replacen(chunk, "", 1).into_bytes()
            }
            None => recorded.body.clone(),
        };
        if !recorded.is_stream {
            recorded.replay(&recorded.body, &without, "", true);
            continue;
        }
        for end in ["\n", "\r\n", "\r"] {
            let body = with_line_ends(&recorded.body, end);
            recorded.replay(&body, &with_line_ends(&without, end), "", true);
        }
    }
    assert!(hidden >= 5, "{hidden}");
}

#[test]
fn compressed_bodies_are_metered_and_pass_as_they_are() {
    for recorded in corpus() {
        let mut gzip = write::GzEncoder::new(Vec::new(), Compression::default());
        // A provider flushes after each event.
        for line in recorded.body.split_inclusive(|byte| *byte == b'\n') {
            gzip.write_all(line).unwrap();
            gzip.flush().unwrap();
        }
        let gzip = gzip.finish().unwrap();
        recorded.replay(&gzip, &gzip, "gzip", false);
        recorded.replay_in_pieces(&gzip, &gzip, "gzip", true);
        let mut zlib = write::ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&recorded.body).unwrap();
        let zlib = zlib.finish().unwrap();
        recorded.replay_in_pieces(&zlib, &zlib, "deflate", false);
    }
}

#[test]
fn what_is_watched_passes_the_same_and_is_never_taken_for_more_than_it_was() {
    let mut counted = 0;
    for recorded in corpus() {
        for size in [1, 7, 300, recorded.body.len()] {
            let mut meter = recorded.meter("", false);
            meter.watch(true);
            let pieces: Vec<&[u8]> = recorded.body.chunks(size).collect();
            let metered = recorded.run_with(meter, &pieces, &recorded.body, ("", false));
            let least = metered.least.map_or(0, |least| least.tokens());
            counted += usize::from(least > 0);
            // Of what was cut, the provider has told less.
            if let (Some(usage), true) = (metered.usage, metered.complete) {
                assert!(least <= usage.output_tokens, "{} {least}", recorded.name);
            }
        }
    }
    assert!(counted > 20, "{counted}");
}

#[test]
fn a_terminal_event_over_the_limit_is_metered() {
    let filler = "x".repeat(3 * EVENT_BYTES_LIMIT);
    let stream = format!(
        "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"instructions\":\"{filler}\",\
         \"usage\":{{\"input_tokens\":12,\"output_tokens\":3}}}}}}\n\ndata: x\n\n"
    );
    for size in [1, 1000, EVENT_BYTES_LIMIT + 1, stream.len()] {
        let mut meter = Meter::new(
            Dialect::OpenAi,
            Operation::Responses,
            200,
            b"text/event-stream",
            b"",
            true,
        );
        let mut forwarded = 0;
        for piece in stream.as_bytes().chunks(size) {
            meter.feed(piece, &mut |bytes| forwarded += bytes.len());
        }
        let metered = meter.metered();
        assert!(metered.complete);
        let usage = metered
            .usage
            .map(|usage| (usage.input_tokens, usage.output_tokens));
        assert_eq!(usage, Some((12, 3)), "chunks of {size}");
        assert_eq!(forwarded, stream.len());
    }
}

#[test]
fn what_cannot_be_read_passes() {
    for (content_type, encoding) in [
        ("text/event-stream", "br"),
        ("application/json", "zstd"),
        ("application/json", "gzip"),
        ("application/octet-stream", ""),
        ("application/json", ""),
    ] {
        let mut meter = Meter::new(
            Dialect::OpenAi,
            Operation::ChatCompletions,
            200,
            content_type.as_bytes(),
            encoding.as_bytes(),
            true,
        );
        let mut out = Vec::new();
        meter.feed(b"no JSON, ", &mut |bytes| out.extend_from_slice(bytes));
        meter.feed(b"no gzip", &mut |bytes| out.extend_from_slice(bytes));
        assert!(!meter.metered().complete, "{content_type} {encoding}");
        meter.finish(&mut |bytes| out.extend_from_slice(bytes));
        assert_eq!(out, b"no JSON, no gzip");
        let metered = meter.metered();
        assert!(metered.complete, "{content_type} {encoding}");
        assert_eq!(metered.usage, None);
    }
}
