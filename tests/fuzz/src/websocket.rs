//! WebSockets: messages beside a second, slow reading of RFC 6455, and what their events decide beside serde_json.

use gateway::{
    data_plane::{
        buffer::Buffer,
        websocket::messages::{CloseCode, Event, Messages, Role, Violation},
    },
    dialect::websocket::{
        client_event, http_body, keeps_model, message_of_error, message_of_event,
        refuses_credential, server_event,
    },
};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Small, so that the limit is reached too.
const MESSAGE_BYTES_LIMIT: usize = 512;
/// Below what a socket queues before it leaves pings unanswered.
const ANSWERED_BYTES: usize = 32 * 1024;

/// What a side reads.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    messages: Vec<(bool, Vec<u8>)>,
    pings: Vec<Vec<u8>>,
    end: End,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    /// More may come.
    #[default]
    Open,
    Closed(Option<u16>),
    Violation(u16),
}

/// Both sides read the same as the second reading does, over any pieces, and what they send on is read as what
/// came.
pub fn websocket_messages(data: &[u8]) {
    if data.len() > ANSWERED_BYTES {
        return;
    }
    for role in [Role::Server, Role::Client] {
        let expected = reference(data, role == Role::Server);
        for size in [data.len().max(1), 1, 3, data.len() / 2 + 1] {
            let found = read(data, role, size);
            assert_eq!(found, expected, "{role:?}, pieces of {size}");
        }
        pass_on(&expected.messages);
    }
}

fn read(data: &[u8], role: Role, size: usize) -> Reading {
    let mut socket = Messages::new(Buffer::default(), role, MESSAGE_BYTES_LIMIT);
    let mut reading = Reading::default();
    for piece in data.chunks(size) {
        socket.inbox.extend(piece);
        while reading.end == End::Open {
            match socket.step() {
                Ok(None) => break,
                Ok(Some(Event::Message { is_text })) => {
                    let message = socket.take().to_vec();
                    reading.messages.push((is_text, message));
                }
                Ok(Some(Event::Closed(code))) => {
                    reading.end = End::Closed(code.map(|CloseCode(code)| code));
                }
                Err(Violation(CloseCode(code))) => reading.end = End::Violation(code),
            }
        }
    }
    // Its answers, as the other side reads them.
    let answers = socket.out.data().to_vec();
    reading.pings = frames(&answers, role == Role::Client)
        .into_iter()
        .map(|(first, payload)| {
            assert_eq!(first, 0x8a, "a pong");
            payload
        })
        .collect();
    reading
}

/// Messages that one side sends are those that the other reads.
fn pass_on(messages: &[(bool, Vec<u8>)]) {
    for (from, to) in [(Role::Server, Role::Client), (Role::Client, Role::Server)] {
        let mut sender = Messages::new(Buffer::default(), from, MESSAGE_BYTES_LIMIT);
        for (is_text, message) in messages {
            sender.push(*is_text, message);
        }
        let reading = read(sender.out.data(), to, sender.queued().max(1));
        assert_eq!(reading.messages, messages);
        assert_eq!(reading.end, End::Open);
    }
}

/// Whole frames: first bytes and payloads, unmasked.
fn frames(data: &[u8], masked: bool) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = data;
    while let Some((first, payload, after)) = frame(rest, masked) {
        frames.push((first, payload));
        rest = after;
    }
    assert!(rest.is_empty(), "half a frame");
    frames
}

fn frame(data: &[u8], masked: bool) -> Option<(u8, Vec<u8>, &[u8])> {
    let (length, header) = length(data)?;
    let mask_bytes = if masked { 4 } else { 0 };
    let start = header + mask_bytes;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let payload = data.get(start..end)?;
    let mask = &data[header..start];
    let payload = (payload.iter().enumerate())
        .map(|(at, byte)| if masked { byte ^ mask[at % 4] } else { *byte })
        .collect();
    Some((data[0], payload, &data[end..]))
}

/// A frame's length, and where that ends.
fn length(data: &[u8]) -> Option<(u64, usize)> {
    let number = |range: std::ops::Range<usize>| {
        let bytes = data.get(range)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    match data.get(1)? & 0x7f {
        126 => Some((number(2..4)?, 4)),
        127 => Some((number(2..10)?, 10)),
        short => Some((u64::from(short), 2)),
    }
}

/// What RFC 6455 makes of `data`, a frame at a time.
fn reference(data: &[u8], masked: bool) -> Reading {
    let mut reading = Reading::default();
    let mut rest = data;
    let mut open: Option<(bool, Vec<u8>)> = None;
    while rest.len() >= 2 {
        let (first, opcode) = (rest[0], rest[0] & 0x0f);
        let (is_final, is_control) = (first & 0x80 != 0, opcode >= 8);
        let violation = |code| End::Violation(code);
        if first & 0x70 != 0 || ![0, 1, 2, 8, 9, 10].contains(&opcode) {
            reading.end = violation(1002);
            break;
        }
        let Some((length, header)) = length(rest) else {
            break;
        };
        let shortest = match length {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        let is_wrong = header != shortest
            || length >> 63 == 1
            || is_control && (!is_final || length > 125)
            || (rest[1] & 0x80 != 0) != masked;
        // A mask is read before anything is said about the frame.
        let has_mask = rest[1] & 0x80 == 0 || rest.len() >= header + 4;
        let is_early =
            header != shortest || length >> 63 == 1 || is_control && (!is_final || length > 125);
        if is_wrong && (is_early || has_mask) {
            reading.end = violation(1002);
            break;
        }
        if !has_mask {
            break;
        }
        let held = open.as_ref().map_or(0, |(_, bytes)| bytes.len());
        if !is_control && length > (MESSAGE_BYTES_LIMIT - held) as u64 {
            reading.end = violation(1009);
            break;
        }
        let Some((_, payload, after)) = frame(rest, masked) else {
            break;
        };
        rest = after;
        match (opcode, open.take()) {
            (8, _) => {
                reading.end = match payload.as_slice() {
                    [] => End::Closed(None),
                    [_] => violation(1002),
                    [high, low, reason @ ..] => {
                        let code = u16::from(*high) << 8 | u16::from(*low);
                        let is_known =
                            (1000..1015).contains(&code) && !(1004..1007).contains(&code);
                        match is_known || (3000..5000).contains(&code) {
                            false => violation(1002),
                            true if String::from_utf8(reason.to_vec()).is_err() => violation(1007),
                            true => End::Closed(Some(code)),
                        }
                    }
                };
                break;
            }
            (9, was_open) => {
                open = was_open;
                reading.pings.push(payload);
            }
            (10, was_open) => open = was_open,
            (0, None) | (1 | 2, Some(_)) => {
                reading.end = violation(1002);
                break;
            }
            (_, begun) => {
                let (is_text, mut message) = begun.unwrap_or((opcode == 1, Vec::new()));
                message.extend(payload);
                if !is_final {
                    open = Some((is_text, message));
                } else if is_text && String::from_utf8(message.clone()).is_err() {
                    reading.end = violation(1007);
                    break;
                } else {
                    reading.messages.push((is_text, message));
                }
            }
        }
    }
    reading
}

/// What is taken of an event is what a JSON parser finds in it, and what is made of it is JSON.
pub fn websocket_events(data: &[u8]) {
    let value = serde_json::from_slice::<Value>(data).ok();
    let object = value.as_ref().filter(|value| value.is_object());
    if let (Ok(event), Some(object)) = (client_event(data), object) {
        assert_eq!(event.is_create, object["type"] == "response.create");
        assert_eq!(event.lane.as_deref(), object["stream_id"].as_str());
        assert!(event.is_create || object.get("model").is_none());
    }
    if let Some(object) = object {
        let kept = keeps_model(data, "m");
        for parent in ["session", "response"] {
            let model = object[parent].get("model");
            assert!(!kept || model.is_none_or(|model| model == "m"), "{object}");
        }
        let body = http_body(data).expect("an object");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["stream"], true);
        for (name, value) in object.as_object().expect("an object") {
            match name.as_str() {
                "stream" => {}
                "type" | "stream_id" | "background" => assert!(body.get(name).is_none()),
                _ => assert_eq!(&body[name], value),
            }
        }
        let message = message_of_event(data, Some("lane"));
        if data.starts_with(b"{") {
            let message: Value = serde_json::from_slice(&message).expect("JSON");
            assert!(object.get("stream_id").is_some() || message["stream_id"] == "lane");
        }
    } else {
        assert!(http_body(data).is_none() || value.is_none());
    }
    let error = message_of_error(500, data, Some("lane"));
    // A value that serde_json has no text for may be in it: half a surrogate.
    serde_json::from_slice::<IgnoredAny>(&error).expect("JSON");
    let start = br#"{"stream_id":"lane","type":"error","status":500,"error":"#;
    assert!(error.starts_with(start));
    let _ = (server_event(data), refuses_credential(data));
}
