//! OpenAI's WebSocket APIs: their paths, and what of their events decides something. Sources: the guide
//! "WebSocket mode" and the reference of Realtime on developers.openai.com; openai-python 3.54.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Classified, Dialect, ModelSource, Object, Operation,
    json::capture::{Capture, Wanted},
    path::{AgentPath, decode_model},
};

/// Longest `stream_id` (openai-python checks the same).
const LANE_BYTES_LIMIT: usize = 256;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `response.create` asks for a response, of whatever model; several may run side by side.
    Responses,
    /// A session with one model.
    Realtime,
}

impl Api {
    /// The one that has this path.
    pub fn of(path: &str) -> Option<Self> {
        let shape = AgentPath::of(path);
        match (shape.prefix, shape.rest) {
            (None | Some(Dialect::OpenAi), "responses") => Some(Self::Responses),
            (None | Some(Dialect::OpenAi), "realtime") => Some(Self::Realtime),
            _ => None,
        }
    }

    /// What its exchanges are to policy and records.
    pub fn classified(self) -> Classified<'static> {
        let (operation, model, object) = match self {
            Self::Responses => (Operation::Responses, ModelSource::Body, Object::Made),
            Self::Realtime => (Operation::Realtime, ModelSource::None, Object::None),
        };
        Classified {
            dialect: Dialect::OpenAi,
            operation,
            model,
            object,
        }
    }
}

/// The query names no model, or more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoModel {
    Missing,
    Doubled,
}

/// What a Realtime session is, and its model: `model` in the query of the handshake. On Azure's classic path it is
/// `deployment`, as AzureOpenAI's SDK has it, and the dialect is that vendor's.
pub fn realtime<'a>(
    path: &str,
    query: &'a str,
) -> Result<(Classified<'static>, Cow<'a, str>), NoModel> {
    let mut classified = Api::Realtime.classified();
    let mut key = "model";
    if path == "/openai/realtime" && one(query, key) == Err(NoModel::Missing) {
        classified.dialect = Dialect::Azure;
        key = "deployment";
    }
    one(query, key).map(|model| (classified, model))
}

/// The one value of a parameter.
fn one<'a>(query: &'a str, wanted: &str) -> Result<Cow<'a, str>, NoModel> {
    let mut values = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        // A name that a server may read as this one is one too many.
        (decode_model(name)? == wanted).then_some(value)
    });
    match (values.next(), values.next()) {
        (Some(value), None) => decode_model(value)
            .filter(|value| !value.is_empty())
            .ok_or(NoModel::Missing),
        (None, _) => Err(NoModel::Missing),
        (Some(_), Some(_)) => Err(NoModel::Doubled),
    }
}

/// An event that an agent sends on a Responses socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEvent {
    /// `response.create`; every other goes to where the response is that it is about.
    pub is_create: bool,
    /// `stream_id`: which of the conversations on this socket.
    pub lane: Option<Box<str>>,
    /// The response it is about, or continues.
    pub response: Option<Box<str>>,
}

const CLIENT_EVENT: Wanted = Wanted {
    parent: &[],
    keys: &[
        "type",
        "stream_id",
        "previous_response_id",
        "response_id",
        "model",
    ],
    types: None,
};
const TYPE: usize = 0;
const STREAM_ID: usize = 1;
const PREVIOUS: usize = 2;
const RESPONSE_ID: usize = 3;
const MODEL: usize = 4;

/// Reads an agent's event. What could mean another thing to the provider is refused, with the reason.
pub fn client_event(json: &[u8]) -> Result<ClientEvent, &'static str> {
    let mut event = Capture::new(&CLIENT_EVENT);
    event.feed(json);
    if !event.ended() {
        return Err("an event is one JSON object");
    }
    if event.is_doubled() {
        return Err("a key that decides is given twice");
    }
    let kind = event
        .plain_text(TYPE)
        .ok_or("an event has a plain `type`")?;
    let is_create = kind == "response.create";
    if !is_create && event.value(MODEL).is_some() {
        return Err("only `response.create` may name a model");
    }
    let lane = match event.value(STREAM_ID) {
        None | Some(b"null") => None,
        Some(_) => Some(
            event
                .plain_text(STREAM_ID)
                .filter(|lane| is_lane(lane))
                .ok_or(
                    "`stream_id` has 1 to 256 letters, digits, underscores, hyphens or periods",
                )?,
        ),
    };
    let response = event
        .plain_text(PREVIOUS)
        .or_else(|| event.plain_text(RESPONSE_ID));
    Ok(ClientEvent {
        is_create,
        lane: lane.map(Into::into),
        response: response.map(Into::into),
    })
}

fn is_lane(lane: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=LANE_BYTES_LIMIT).contains(&lane.len()) && lane.bytes().all(is_plain)
}

/// The body of the HTTP request that asks for the same as a `response.create`: without what belongs to the socket,
/// and streaming. Members stay as they are and in their order. `None`: not one JSON object.
pub fn http_body(create: &[u8]) -> Option<Vec<u8>> {
    const OF_THE_SOCKET: [&str; 4] = ["type", "stream_id", "stream", "background"];
    let Members(members) = serde_json::from_slice(create).ok()?;
    let mut body = br#"{"stream":true"#.to_vec();
    for (name, value) in members {
        if !OF_THE_SOCKET.contains(&&*name) {
            body.push(b',');
            body.extend(serde_json::to_vec(&name).ok()?);
            body.push(b':');
            body.extend_from_slice(value.get().as_bytes());
        }
    }
    body.push(b'}');
    Some(body)
}

/// A server-sent event of the same API as a message of the socket.
pub fn message_of_event(data: &[u8], lane: Option<&str>) -> Vec<u8> {
    let Some((lane, rest)) = lane.zip(data.strip_prefix(b"{")) else {
        return data.to_vec();
    };
    let separator = match rest.trim_ascii_start() {
        [b'}', ..] => "",
        _ => ",",
    };
    let mut message = format!("{{\"stream_id\":\"{lane}\"{separator}").into_bytes();
    message.extend_from_slice(rest);
    message
}

/// An HTTP error as a message of the socket. What a vendor says in `error` is kept.
pub fn message_of_error(status: u16, body: &[u8], lane: Option<&str>) -> Vec<u8> {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    let told = serde_json::from_slice::<Body<'_>>(body).ok();
    let whole = || serde_json::from_slice::<&RawValue>(body).ok();
    let error = told.and_then(|body| body.error).or_else(whole);
    let error = error.map_or(
        "{\"type\":\"server_error\",\"code\":null,\"param\":null,\"message\":\"no reason given\"}",
        RawValue::get,
    );
    let event = format!("{{\"type\":\"error\",\"status\":{status},\"error\":{error}}}");
    message_of_event(event.as_bytes(), lane)
}

/// Members of an object in their order, values as they are written.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(
                self,
                mut map: M,
            ) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// What a provider's event on a Responses socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent {
    pub kind: ServerEventKind,
    pub lane: Option<Box<str>>,
}

/// See [`ServerEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEventKind {
    /// `response.created`: also without having been asked, as when a response was steered.
    Created,
    /// `error`, with the status it names.
    Error(Option<u16>),
    Other,
}

const SERVER_EVENT: Wanted = Wanted {
    parent: &[],
    keys: &["type", "stream_id", "status"],
    types: None,
};
const STATUS: usize = 2;

/// Reads a provider's event.
pub fn server_event(json: &[u8]) -> ServerEvent {
    let mut event = Capture::new(&SERVER_EVENT);
    event.feed(json);
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    let kind = match event.plain_text(TYPE) {
        Some("response.created") => ServerEventKind::Created,
        Some("error") => ServerEventKind::Error(event.value(STATUS).and_then(number)),
        Some(_) | None => ServerEventKind::Other,
    };
    ServerEvent {
        kind,
        lane: event.plain_text(STREAM_ID).map(Into::into),
    }
}

const SESSION_UPDATE: Wanted = Wanted {
    parent: &["session"],
    keys: &["model"],
    types: None,
};
const RESPONSE_CREATE: Wanted = Wanted {
    parent: &["response"],
    keys: &["model"],
    types: None,
};

/// Whether an agent's event in a Realtime session leaves the model as it was permitted. The session's is fixed
/// at OpenAI; whoever would change it there or for one response is refused, so that no server does.
pub fn keeps_model(json: &[u8], model: &str) -> bool {
    // Most events are audio, and long.
    if memchr::memmem::find(json, b"model").is_none() && memchr::memchr(b'\\', json).is_none() {
        return true;
    }
    [&SESSION_UPDATE, &RESPONSE_CREATE]
        .into_iter()
        .all(|wanted| {
            let mut event = Capture::new(wanted);
            event.feed(json);
            let named = event.value(0);
            !event.is_doubled() && (named.is_none() || event.plain_text(0) == Some(model))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, api) in [
            ("/v1/responses", Some(Api::Responses)),
            ("/responses", Some(Api::Responses)),
            ("/openai/v1/responses", Some(Api::Responses)),
            ("/v1/realtime", Some(Api::Realtime)),
            ("/anthropic/v1/responses", None),
            ("/v1/responses/resp_1", None),
            ("/v1/realtime/client_secrets", None),
            ("/v1/chat/completions", None),
        ] {
            assert_eq!(Api::of(path), api, "{path}");
        }
    }

    #[test]
    fn a_session_has_one_model() {
        use Dialect::{Azure, OpenAi};
        let (plain, classic) = ("/v1/realtime", "/openai/realtime");
        for (path, query, expected) in [
            (plain, "model=gpt-realtime", Ok((OpenAi, "gpt-realtime"))),
            (
                plain,
                "a=b&model=openai%2Fgpt&c",
                Ok((OpenAi, "openai/gpt")),
            ),
            (plain, "", Err(NoModel::Missing)),
            (plain, "model=", Err(NoModel::Missing)),
            (plain, "models=x", Err(NoModel::Missing)),
            (plain, "deployment=x", Err(NoModel::Missing)),
            (plain, "model=a&model=a", Err(NoModel::Doubled)),
            (plain, "model=a&m%6fdel=b", Err(NoModel::Doubled)),
            (classic, "api-version=1&deployment=d", Ok((Azure, "d"))),
            (classic, "deployment=d&deployment=e", Err(NoModel::Doubled)),
            (classic, "model=gpt-realtime", Ok((OpenAi, "gpt-realtime"))),
        ] {
            let found = realtime(path, query);
            let found = found
                .as_ref()
                .map(|(classified, model)| (classified.dialect, &**model));
            assert_eq!(found.map_err(|no| *no), expected, "{path}?{query}");
        }
    }

    #[test]
    fn what_an_agents_event_asks_for() {
        let event = |is_create, lane: Option<&str>, response: Option<&str>| ClientEvent {
            is_create,
            lane: lane.map(Into::into),
            response: response.map(Into::into),
        };
        for (json, expected) in [
            (
                r#"{"type":"response.create","model":"m","stream_id":"main.1","input":[{"type":"x"}]}"#,
                event(true, Some("main.1"), None),
            ),
            (
                r#"{"previous_response_id":"r1","stream_id":null,"type":"response.create"}"#,
                event(true, None, Some("r1")),
            ),
            (
                r#"{"type":"response.steer","previous_response_id":"r1","input":"a"}"#,
                event(false, None, Some("r1")),
            ),
            (
                r#"{"type":"response.processed","response_id":"r2"}"#,
                event(false, None, Some("r2")),
            ),
        ] {
            assert_eq!(client_event(json.as_bytes()), Ok(expected), "{json}");
        }
        for json in [
            "",
            "[]",
            r#"{"model":"m"}"#,
            r#"{"type":7}"#,
            r#"{"type":"response\u002ecreate"}"#,
            r#"{"type":"response.steer","type":"response.create"}"#,
            r#"{"type":"response.create","stream_id":"a","stream_id":"b"}"#,
            r#"{"type":"response.create","stream_id":"a b"}"#,
            r#"{"type":"response.create","stream_id":""}"#,
            r#"{"type":"response.fork","model":"m"}"#,
            r#"{"type":"response.create""#,
        ] {
            assert!(client_event(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn the_same_over_http() {
        for (create, body) in [
            (
                r#"{"type":"response.create","model":"m","input":[ {"type": "x"} ],"stream_id":"a","t\u0065mperature":1.0}"#,
                Some(r#"{"stream":true,"model":"m","input":[ {"type": "x"} ],"temperature":1.0}"#),
            ),
            (
                r#"{"stream":false,"background":null}"#,
                Some(r#"{"stream":true}"#),
            ),
            ("[]", None),
            ("{", None),
        ] {
            let found = http_body(create.as_bytes());
            assert_eq!(found.as_deref(), body.map(str::as_bytes), "{create}");
        }
        for (data, message) in [
            (r#"{"type":"x"}"#, r#"{"stream_id":"a","type":"x"}"#),
            ("{ }", r#"{"stream_id":"a" }"#),
            ("no json", "no json"),
        ] {
            assert_eq!(
                message_of_event(data.as_bytes(), Some("a")),
                message.as_bytes()
            );
            assert_eq!(message_of_event(data.as_bytes(), None), data.as_bytes());
        }
        for (body, error) in [
            (r#"{"error":{"code":"c"}}"#, r#"{"code":"c"}"#),
            (
                r#"{"object":"error","code":7}"#,
                r#"{"object":"error","code":7}"#,
            ),
            (
                "<html>",
                r#"{"type":"server_error","code":null,"param":null,"message":"no reason given"}"#,
            ),
        ] {
            let message = format!(r#"{{"type":"error","status":500,"error":{error}}}"#);
            assert_eq!(
                message_of_error(500, body.as_bytes(), None),
                message.as_bytes()
            );
        }
    }

    #[test]
    fn what_a_providers_event_is() {
        for (json, kind, lane) in [
            (
                r#"{"type":"response.created","response":{"status":"x"},"stream_id":"a"}"#,
                ServerEventKind::Created,
                Some("a"),
            ),
            (
                r#"{"type":"error","status":429,"error":{"code":"c"}}"#,
                ServerEventKind::Error(Some(429)),
                None,
            ),
            (r#"{"type":"error"}"#, ServerEventKind::Error(None), None),
            (
                r#"{"type":"response.output_text.delta","delta":"stream_id"}"#,
                ServerEventKind::Other,
                None,
            ),
            ("no json", ServerEventKind::Other, None),
        ] {
            let lane = lane.map(Into::into);
            assert_eq!(
                server_event(json.as_bytes()),
                ServerEvent { kind, lane },
                "{json}"
            );
        }
    }

    #[test]
    fn a_session_keeps_its_model() {
        for (json, kept) in [
            (r#"{"type":"session.update","session":{"voice":"x"}}"#, true),
            (r#"{"type":"session.update","session":{"model":"m"}}"#, true),
            (
                r#"{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"w"}}}}}"#,
                true,
            ),
            (
                r#"{"type":"session.update","session":{"model":"other"}}"#,
                false,
            ),
            (
                r#"{"type":"session.update","session":{"model":"\u006d"}}"#,
                false,
            ),
            (
                r#"{"type":"session.update","session":{"model":"m","model":"other"}}"#,
                false,
            ),
            (
                r#"{"type":"session.update","session":{"model":"other"},"session":{"model":"m"}}"#,
                false,
            ),
            (
                r#"{"type":"response.create","response":{"model":"other"}}"#,
                false,
            ),
            (
                r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#,
                true,
            ),
        ] {
            assert_eq!(keeps_model(json.as_bytes(), "m"), kept, "{json}");
        }
    }
}
