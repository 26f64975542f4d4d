//! What agents ask: real chat completion requests with a model in a JSON body.

/// The model every request names.
pub(crate) const MODEL: &str = "bench-model";

/// One request, ready to be framed by HTTP/1.1 or HTTP/2.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `Host`, or `:authority`.
    pub(crate) host: String,
    pub(crate) body: Vec<u8>,
}

/// The shapes of request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// 1 KiB.
    Small,
    /// 1 KiB, asks for a stream with usage at its end.
    Stream,
    /// 64 KiB, the model is the first key.
    LargeModelFirst,
    /// 64 KiB, the model is the last key, behind the messages.
    LargeModelLast,
    /// None: the handshake of a realtime session.
    WebSocket,
}

pub(crate) const PATH: &str = "/v1/chat/completions";

const HANDSHAKE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const SMALL_BYTES: usize = 1024;
const LARGE_BYTES: usize = 65_536;

/// Prose as it looks inside JSON: a prompt has line breaks and quotes, which are escapes.
const PROSE: &str =
    "The operator asked for \\\"a short answer\\\", then pasted the whole report again.\\n";

impl Request {
    pub(crate) fn new(host: &str, body: Body) -> Self {
        Self {
            host: host.to_owned(),
            body: body.json().into_bytes(),
        }
    }

    /// The complete HTTP/1.1 request.
    pub(super) fn http1(&self) -> Vec<u8> {
        if self.body.is_empty() {
            return format!(
                "GET /v1/realtime?model={MODEL} HTTP/1.1\r\nHost: {}\r\n{HANDSHAKE}\r\n",
                self.host
            )
            .into_bytes();
        }
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.host,
            self.body.len(),
        );
        [head.as_bytes(), &self.body].concat()
    }
}

impl Body {
    fn json(self) -> String {
        let (start, end, bytes) = match self {
            Self::Small => (model_first(""), messages_last(), SMALL_BYTES),
            Self::Stream => {
                let stream = r#""stream":true,"stream_options":{"include_usage":true},"#;
                (model_first(stream), messages_last(), SMALL_BYTES)
            }
            Self::LargeModelFirst => (model_first(""), messages_last(), LARGE_BYTES),
            Self::LargeModelLast => {
                let start = r#"{"messages":[{"role":"user","content":""#.to_owned();
                let end = format!(r#""}}],"model":"{MODEL}"}}"#);
                (start, end, LARGE_BYTES)
            }
            Self::WebSocket => return String::new(),
        };
        let content = bytes - start.len() - end.len();
        let mut json = start;
        json.push_str(&PROSE.repeat(content / PROSE.len()));
        json.push_str(&"x".repeat(content % PROSE.len()));
        json.push_str(&end);
        json
    }
}

fn model_first(options: &str) -> String {
    format!(r#"{{"model":"{MODEL}",{options}"messages":[{{"role":"user","content":""#)
}

fn messages_last() -> String {
    r#""}]}"#.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bodies_are_json_of_the_promised_size() {
        let table = [
            (Body::Small, SMALL_BYTES),
            (Body::Stream, SMALL_BYTES),
            (Body::LargeModelFirst, LARGE_BYTES),
            (Body::LargeModelLast, LARGE_BYTES),
        ];
        for (body, bytes) in table {
            let json = body.json();
            assert_eq!(json.len(), bytes, "{body:?}");
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value["model"], MODEL, "{body:?}");
            assert_eq!(value["stream"] == true, body == Body::Stream);
        }
    }

    #[test]
    fn the_model_stands_where_the_name_says() {
        let at = |body: Body| body.json().find(r#""model""#).unwrap();
        assert!(at(Body::LargeModelFirst) < 8);
        assert!(at(Body::LargeModelLast) > LARGE_BYTES - 64);
    }
}
