//! Replays the fuzz corpora, so that every input once found stays checked without nightly.

#[path = "../../tests/fuzz/src/checks.rs"]
#[expect(unreachable_pub, reason = "a library there")]
mod checks;

use std::{fs, path::PathBuf};

/// Calls `check` with each file of a target's corpus.
#[expect(clippy::print_stderr, reason = "names the input that failed")]
fn replay(target: &str, check: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fuzz/corpus")
        .join(target);
    let mut files = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is in the tree") {
        let path = entry.expect("a readable folder").path();
        let input = fs::read(&path).expect("a readable file");
        if let Err(panic) = std::panic::catch_unwind(|| check(&input)) {
            eprintln!("input: {}", path.display());
            std::panic::resume_unwind(panic);
        }
        files += 1;
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn body_scanner() {
    replay("body_scanner", checks::body_scanner);
}

#[test]
fn sse() {
    replay("sse", checks::sse);
}

#[test]
fn meter_openai_chat() {
    replay("meter_openai_chat", checks::meter_openai_chat);
}

#[test]
fn meter_openai_responses() {
    replay("meter_openai_responses", checks::meter_openai_responses);
}

#[test]
fn meter_anthropic() {
    replay("meter_anthropic", checks::meter_anthropic);
}

#[test]
fn meter_compressed() {
    replay("meter_compressed", checks::meter_compressed);
}

#[test]
fn http1_request() {
    replay("http1_request", checks::http1_request);
}

#[test]
fn http1_response() {
    replay("http1_response", checks::http1_response);
}

#[test]
fn http1_chunked() {
    replay("http1_chunked", checks::http1_chunked);
}

#[test]
fn decode() {
    replay("decode", checks::decode);
}

#[test]
fn websocket_messages() {
    replay("websocket_messages", checks::websocket_messages);
}

#[test]
fn websocket_events() {
    replay("websocket_events", checks::websocket_events);
}
