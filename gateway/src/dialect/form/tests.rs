#![allow(clippy::unwrap_used)]

use super::*;

const TYPE: &[u8] = b"multipart/form-data; boundary=XX";

fn scan(body: &[u8], size: usize) -> Result<Option<String>, FormError> {
    let mut scanner = FormScanner::new(TYPE)?;
    for piece in body.chunks(size) {
        scanner.feed(piece)?;
    }
    scanner.finish()?;
    Ok(scanner.model().map(str::to_owned))
}

/// Scans `body` in pieces of every size; all must agree.
fn scanned(body: &str) -> Result<Option<String>, FormError> {
    let whole = scan(body.as_bytes(), usize::MAX);
    for size in 1..body.len().min(200) {
        assert_eq!(
            scan(body.as_bytes(), size),
            whole,
            "pieces of {size}: {body:?}"
        );
    }
    whole
}

fn form(parts: &[&str]) -> String {
    let parts: String = parts
        .iter()
        .map(|part| format!("--XX\r\n{part}\r\n"))
        .collect();
    format!("{parts}--XX--\r\n")
}

const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a; name=model.mp3\"\r\n\
    Content-Type: audio/mpeg\r\n\r\n\r\n--X\r\n--\r\n\r\n--XY";
const MODEL: &str = "Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1";

#[test]
fn the_model_is_found_wherever_it_stands() {
    let found = Ok(Some("whisper-1".to_owned()));
    // `--XXY` is no boundary line, and a file may not look like one.
    let file = FILE.replace("\r\n--XY", "\r\n--Y");
    for parts in [[MODEL, &file], [&file, MODEL]] {
        assert_eq!(scanned(&form(&parts)), found);
    }
    assert_eq!(scanned(&form(&[&file])), Ok(None));
    let without_line_feed = form(&[MODEL]);
    assert_eq!(scanned(without_line_feed.trim_end()), found);
    let curl =
        "content-disposition: form-data; name=model\r\ncontent-type: text/plain\r\n\r\nwhisper-1";
    assert_eq!(scanned(&form(&[curl])), found);
    let empty = "Content-Disposition: form-data; name=\"prompt\"\r\n\r\n";
    assert_eq!(scanned(&form(&[empty, MODEL])), found);
    let long = format!(
        "Content-Disposition: form-data; name=\"f\"\r\n\r\n{}",
        "-".repeat(9000)
    );
    assert_eq!(scanned(&form(&[&long, MODEL])), found);
}

#[test]
fn it_is_known_before_the_file_ends() {
    let mut scanner = FormScanner::new(TYPE).unwrap();
    let head = format!("--XX\r\n{MODEL}\r\n--XX");
    scanner.feed(head.as_bytes()).unwrap();
    assert_eq!(scanner.model(), Some("whisper-1"));
}

#[test]
fn what_two_servers_might_read_apart_is_refused() {
    assert_eq!(
        scanned(&form(&[MODEL, MODEL])),
        Err(FormError::DuplicateModel)
    );
    let field = |header: &str| format!("{header}\r\n\r\nm");
    for part in [
        field("Content-Disposition: form-data; name=\"Model\""),
        field("Content-Disposition: form-data; name=\" model\""),
        field("Content-Disposition: form-data; name=\"mod\\el\""),
        field("Content-Disposition: form-data; name=\"mode%6c\""),
        field("Content-Disposition: form-data; name*=utf-8''model"),
        field("Content-Disposition: form-data; name=\"a\"; name=\"model\""),
        field("Content-Disposition: form-data; name=\"a\\\"; name=\"model\""),
        field("Content-Disposition: form-data; name=\"model\"; filename=\"m\""),
        field(
            "Content-Disposition: form-data; name=\"a\"\r\ncontent-disposition: form-data; name=\"model\"",
        ),
        field(
            "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
        ),
        field("Content-Disposition: attachment; name=\"model\""),
        field("Content-Disposition: form-data"),
        field("Content-Type: text/plain"),
        field("Content-Disposition : form-data; name=\"model\""),
        format!("X-Long: {}\r\n\r\n", "a".repeat(HEADERS_BYTES_LIMIT)),
        MODEL.replace("whisper-1", ""),
        MODEL.replace("whisper-1", " whisper-1"),
        MODEL.replace("whisper-1", "whisper\n1"),
        MODEL.replace("whisper-1", &"m".repeat(MODEL_BYTES_LIMIT + 1)),
        MODEL.replace("whisper-1", &"m".repeat(4 * MODEL_BYTES_LIMIT)),
    ] {
        let refused = scanned(&form(&[&part]));
        assert!(
            matches!(refused, Err(FormError::Malformed(_))),
            "{part:?}: {refused:?}"
        );
    }
    for body in [
        String::new(),
        "--XX".to_owned(),
        "preamble\r\n".to_owned() + &form(&[MODEL]),
        form(&[MODEL]).replace("--XX\r\n", "--XX \r\n"),
        form(&[MODEL]).replace("--XX--\r\n", ""),
        form(&[MODEL]) + "--XX\r\n",
        form(&[MODEL]).replace("\r\n", "\n"),
    ] {
        let refused = scanned(&body);
        assert!(
            matches!(refused, Err(FormError::Malformed(_))),
            "{body:?}: {refused:?}"
        );
    }
}

#[test]
fn boundaries() {
    for (value, is_sound) in [
        ("multipart/form-data; boundary=XX", true),
        ("Multipart/Form-Data;BOUNDARY=\"a'()+_,-./:=?b\"", true),
        ("multipart/form-data; charset=utf-8; boundary=XX", true),
        ("multipart/form-data", false),
        ("multipart/form-data; boundary=", false),
        ("multipart/form-data; boundary=a; boundary=b", false),
        ("multipart/form-data; boundary=\"a b\"", false),
        ("multipart/mixed; boundary=XX", false),
        ("multipart/form-data; boundary=a,b; x", false),
    ] {
        assert_eq!(
            FormScanner::new(value.as_bytes()).is_ok(),
            is_sound,
            "{value}"
        );
    }
    let longest = "b".repeat(BOUNDARY_BYTES_LIMIT + 1);
    assert!(
        FormScanner::new(format!("multipart/form-data; boundary={longest}").as_bytes()).is_err()
    );
}
