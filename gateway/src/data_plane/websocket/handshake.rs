//! The opening handshake of RFC 6455 section 4, both sides.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    data_plane::{
        failure::Failure,
        message::{Framing, RequestHead, ResponseHead, Version},
    },
    handoff::reason::Reason,
};

/// Section 1.3: what a key is joined with, so that no other protocol's server answers by accident.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 16;
/// The only version there is.
const VERSION: &[u8] = b"13";

/// Whether a request wants its connection to become a WebSocket.
pub(super) fn is_asked_for(head: &RequestHead) -> bool {
    head.version == Version::Http11
        && head.method == http::Method::GET
        && lists(head, "upgrade", b"websocket")
        && lists(head, "connection", b"upgrade")
}

/// Checks an agent's handshake; the value of `Sec-WebSocket-Accept`.
///
/// # Errors
/// [`Reason::MalformedRequest`], [`Reason::UpgradeRequired`] for another version of the protocol.
pub(super) fn accept(head: &RequestHead) -> Result<String, Failure> {
    let mut keys = (head.fields.iter())
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"sec-websocket-key"))
        .map(|(_, value)| value);
    let (Some(key), None, Framing::None) = (keys.next(), keys.next(), head.framing) else {
        let what = "a WebSocket handshake has one Sec-WebSocket-Key and no body";
        return Err(Failure::new(Reason::MalformedRequest, what));
    };
    if head.fields.get("sec-websocket-version") != Some(VERSION) {
        let what = "this endpoint speaks version 13 of the WebSocket protocol";
        return Err(Failure::new(Reason::UpgradeRequired, what));
    }
    if BASE64.decode(key).map(|bytes| bytes.len()) != Ok(KEY_BYTES) {
        let what = "Sec-WebSocket-Key is not the base64 of 16 bytes";
        return Err(Failure::new(Reason::MalformedRequest, what));
    }
    Ok(accept_value(key))
}

/// The answer that switches the agent's connection.
pub(super) fn switching(accept: &str, protocol: Option<&str>) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n"
    );
    if let Some(protocol) = protocol {
        head.push_str(&format!("sec-websocket-protocol: {protocol}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The subprotocols that an agent offers, in its order.
pub(super) fn protocols(head: &RequestHead) -> impl Iterator<Item = &str> {
    tokens(head, "sec-websocket-protocol").filter_map(|token| std::str::from_utf8(token).ok())
}

/// A handshake with a provider.
pub(super) struct Opening {
    key: String,
    protocol: Option<&'static str>,
}

impl Opening {
    pub(super) fn new(protocol: Option<&'static str>) -> Self {
        let mut key = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut key).expect("the system's random source works");
        Self {
            key: BASE64.encode(key),
            protocol,
        }
    }

    /// Its header lines.
    pub(super) fn lines(&self) -> String {
        let mut lines = format!(
            "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {}\r\n",
            self.key
        );
        if let Some(protocol) = self.protocol {
            lines.push_str(&format!("sec-websocket-protocol: {protocol}\r\n"));
        }
        lines
    }

    /// Whether an answer with status 101 is one to this handshake (section 4.1, what clients check).
    pub(super) fn is_answered_by(&self, head: &ResponseHead) -> bool {
        let has = |name: &str, wanted: &[u8]| {
            (head.fields.get(name)).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
        };
        let protocol = head.fields.get("sec-websocket-protocol");
        has("upgrade", b"websocket")
            && (head.fields.iter())
                .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
                .flat_map(|(_, value)| tokens_of(value))
                .any(|token| token.eq_ignore_ascii_case(b"upgrade"))
            && head.fields.get("sec-websocket-accept")
                == Some(accept_value(self.key.as_bytes()).as_bytes())
            && head.fields.get("sec-websocket-extensions").is_none()
            && protocol.is_none_or(|chosen| self.protocol.map(str::as_bytes) == Some(chosen))
    }
}

fn accept_value(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    BASE64.encode(context.finish())
}

fn lists(head: &RequestHead, name: &str, token: &[u8]) -> bool {
    tokens(head, name).any(|one| one.eq_ignore_ascii_case(token))
}

fn tokens<'h>(head: &'h RequestHead, name: &str) -> impl Iterator<Item = &'h [u8]> {
    (head.fields.iter())
        .filter(move |(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
        .flat_map(|(_, value)| tokens_of(value))
}

/// The elements of a list (RFC 9110 section 5.6.1).
fn tokens_of(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    (value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_plane::parse::h1;

    const LIMIT: usize = 8 * 1024;

    fn request(lines: &str) -> RequestHead {
        let text = format!("GET /v1/responses HTTP/1.1\r\nhost: e\r\n{lines}\r\n");
        let (head, _) = h1::request(text.as_bytes(), LIMIT)
            .expect("valid")
            .expect("whole");
        head
    }

    #[test]
    fn the_rfcs_own_example() {
        let head = request(
            "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a, b\r\n",
        );
        assert!(is_asked_for(&head));
        let accept = accept(&head).expect("a handshake");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(protocols(&head).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn handshakes_that_are_none() {
        let (version, key) = (
            "Sec-WebSocket-Version: 13\r\n",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        );
        for (lines, reason) in [
            (version.to_owned(), Reason::MalformedRequest),
            (key.to_owned(), Reason::UpgradeRequired),
            (
                format!("{key}Sec-WebSocket-Version: 8\r\n"),
                Reason::UpgradeRequired,
            ),
            (format!("{version}{key}{key}"), Reason::MalformedRequest),
            (
                format!("{version}{key}content-length: 3\r\n"),
                Reason::MalformedRequest,
            ),
            (
                format!("{version}Sec-WebSocket-Key: eA==\r\n"),
                Reason::MalformedRequest,
            ),
            (
                format!("{version}Sec-WebSocket-Key: ?\r\n"),
                Reason::MalformedRequest,
            ),
        ] {
            let refused = accept(&request(&lines)).map_err(|failure| failure.reason);
            assert_eq!(refused, Err(reason), "{lines}");
        }
        for lines in ["Upgrade: websocket\r\n", "Connection: upgrade\r\n", ""] {
            assert!(!is_asked_for(&request(lines)), "{lines}");
        }
    }

    #[test]
    fn a_providers_answer_has_to_fit() {
        let opening = Opening::new(Some("realtime"));
        let right = accept_value(opening.key.as_bytes());
        let fits = |lines: &str| {
            let text = format!("HTTP/1.1 101 x\r\n{lines}\r\n");
            let (head, _) = h1::response(text.as_bytes(), LIMIT, false)
                .expect("valid")
                .expect("whole");
            opening.is_answered_by(&head)
        };
        let switched = format!(
            "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {right}\r\n"
        );
        assert!(fits(&switched));
        assert!(fits(
            &switched.replace("Upgrade\r\n", "keep-alive, Upgrade\r\n")
        ));
        assert!(!fits(&switched.replace("Upgrade\r\n", "keep-alive\r\n")));
        assert!(fits(&format!(
            "{switched}sec-websocket-protocol: realtime\r\n"
        )));
        assert!(!fits(&format!(
            "{switched}sec-websocket-protocol: other\r\n"
        )));
        assert!(!fits(&format!(
            "{switched}sec-websocket-extensions: permessage-deflate\r\n"
        )));
        assert!(!fits(
            &switched.replace(&right, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        ));
        assert!(!fits(&switched.replace("upgrade: websocket\r\n", "")));
    }
}
