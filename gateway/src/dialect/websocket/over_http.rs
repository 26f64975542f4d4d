//! The same response over HTTP, for providers that have no WebSockets: the event that asks for it as a body, and
//! what is answered as messages.

use std::borrow::Cow;

use serde_json::value::RawValue;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
