#![allow(clippy::unwrap_used)]
use std::{fs, time::Duration};

use super::*;
use crate::{
    control_plane::{
        api::testing::MemoryStore,
        seal::{Keyring, MasterKey},
    },
    handoff::{
        capture::{CaptureSender, Part, capture_queue},
        snapshot::access::Capture,
    },
};

struct Log {
    directory: tempfile::TempDir,
    store: MemoryStore,
    keyring: Keyring,
}

impl Log {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            store: MemoryStore::default(),
            keyring: Keyring::of(MasterKey::generate().unwrap()),
        }
    }

    async fn start(&self) -> (CaptureSender, CaptureLog) {
        let (mut senders, receiver) = capture_queue(1);
        let key = TextKey::open_or_create(&self.store, &self.keyring);
        let log = CaptureLog::start(self.directory.path(), receiver, key.await.unwrap());
        (senders.remove(0), log.unwrap())
    }

    /// Everything on disk.
    fn bytes(&self) -> Vec<u8> {
        let files = fs::read_dir(self.directory.path()).unwrap();
        files
            .flat_map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}

fn record_id(started_at: jiff::Timestamp, sequence: u128) -> u128 {
    (started_at.as_millisecond() as u128) << 80 | sequence
}

fn send(sender: &CaptureSender, id: u128, part: Part, redact: bool, body: &str) {
    let capture = Capture {
        text_bytes_max: 3500,
        redact,
    };
    let mut captured = sender.begin(id, part, capture);
    assert!(captured.extend(body.as_bytes()) && sender.send(captured));
}

fn stop(log: CaptureLog) {
    log.flush_and_stop(Instant::now() + Duration::from_secs(60));
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|found| found == text.as_bytes())
}

fn answer() -> Part {
    Part::Answer {
        content_type: b"application/json"[..].into(),
        content_encoding: Box::default(),
    }
}

#[tokio::test]
async fn texts_are_on_disk_sealed_and_read_again_after_a_restart() {
    let files = Log::new();
    let (sender, log) = files.start().await;
    let id = record_id(jiff::Timestamp::now(), 1);
    let prompt = r#"{"messages": [{"role": "user", "content": "planted-prompt ada@example.com"}]}"#;
    send(&sender, id, Part::Request, false, prompt);
    send(&sender, id + 1, Part::Request, true, prompt);
    send(
        &sender,
        id,
        answer(),
        false,
        r#"{"choices": [{"message": {"content": "planted-answer"}}]}"#,
    );
    stop(log);
    let bytes = files.bytes();
    assert!(holds(&bytes, "CREATE TABLE capture"));
    for planted in ["planted", "ada@example"] {
        assert!(!holds(&bytes, planted), "{planted}");
    }

    let (_sender, log) = files.start().await;
    let reader = log.reader();
    let expected = Texts {
        request: Some("user: planted-prompt ada@example.com".to_owned()),
        answer: Some("planted-answer".to_owned()),
    };
    assert_eq!(reader.texts(id).unwrap(), expected);
    let expected = Texts {
        request: Some("user: planted-prompt [REDACTED:email]".to_owned()),
        answer: None,
    };
    assert_eq!(reader.texts(id + 1).unwrap(), expected);
    assert_eq!(reader.texts(id + 2).unwrap(), Texts::default());
    let other = CaptureReader {
        key: Arc::new(
            TextKey::open_or_create(&MemoryStore::default(), &files.keyring)
                .await
                .unwrap(),
        ),
        ..reader
    };
    assert_eq!(other.texts(id).unwrap(), Texts::default());
    stop(log);
}

#[tokio::test]
async fn retention_deletes_texts_and_gives_their_space_back() {
    let files = Log::new();
    let path = files.directory.path().join(FILE);
    let now = jiff::Timestamp::now();
    let (sender, log) = files.start().await;
    let old = now - jiff::SignedDuration::from_hours(49);
    let words = "long ago ".repeat(400);
    let body = serde_json::json!({"prompt": words}).to_string();
    for sequence in 0..900 {
        send(
            &sender,
            record_id(old, sequence),
            Part::Request,
            false,
            &body,
        );
    }
    let young = record_id(now - jiff::SignedDuration::from_hours(47), 0);
    send(&sender, young, Part::Request, false, &body);
    stop(log);
    let before = fs::metadata(&path).unwrap().len();
    assert!(before > 3 << 20, "{before}");

    let (_sender, log) = files.start().await;
    log.set_retention_days(2);
    let reader = log.reader();
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::metadata(&path).unwrap().len() >= before / 2 {
        assert!(Instant::now() < deadline, "waited in vain for the sweep");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_eq!(reader.texts(record_id(old, 7)).unwrap(), Texts::default());
    assert!(reader.texts(young).unwrap().request.is_some());
    stop(log);
}
