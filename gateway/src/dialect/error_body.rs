//! Error bodies in the shape that the calling SDK understands, with NetBird's `code` beside it.

use serde::Serialize;

use super::{Dialect, event_stream, google::error::GoogleError};
use crate::handoff::reason::Reason;

/// JSON body for a failure. `message` is for the agent: no provider host, no secret, no internals.
pub fn render(
    dialect: Option<Dialect>,
    reason: Reason,
    message: &str,
    request_id: &str,
) -> Vec<u8> {
    json(dialect, reason, message, Some(request_id))
}

/// The header by which AWS's SDKs choose the exception to raise.
pub fn aws_error_type(
    dialect: Option<Dialect>,
    reason: Reason,
) -> Option<(&'static str, &'static str)> {
    (dialect == Some(Dialect::Bedrock)).then(|| ("x-amzn-errortype", aws_type(reason.status())))
}

/// The dialect's own error event for a stream that ends before its time: an SSE frame, both newlines
/// included, a message of AWS's event stream, or a line (Ollama).
pub fn render_event(dialect: Dialect, reason: Reason, message: &str) -> Vec<u8> {
    // OpenAI's SDKs raise on `error` in the data of an event of any name, its chat streams have no names.
    let mut event = match dialect {
        Dialect::Anthropic => b"event: error\ndata: ".to_vec(),
        Dialect::Bedrock => {
            let name = match reason.status() {
                429 => "throttlingException",
                503 => "serviceUnavailableException",
                _ => "internalServerException",
            };
            return event_stream::exception(name, &json(Some(dialect), reason, message, None));
        }
        Dialect::Ollama => Vec::new(),
        Dialect::OpenAi | Dialect::Vertex | Dialect::Azure | Dialect::Gemini => b"data: ".to_vec(),
    };
    event.extend_from_slice(&json(Some(dialect), reason, message, None));
    event.extend_from_slice(match dialect {
        Dialect::Ollama => b"\n",
        Dialect::OpenAi
        | Dialect::Anthropic
        | Dialect::Bedrock
        | Dialect::Vertex
        | Dialect::Azure
        | Dialect::Gemini => &b"\n\n"[..],
    });
    event
}

/// AWS's shape, with NetBird's `code` beside it.
#[derive(Serialize)]
struct AwsBody<'a> {
    message: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// The last element of a stream that is one JSON array, which it leaves open.
pub fn render_element(dialect: Dialect, reason: Reason, message: &str) -> Vec<u8> {
    let mut element = b",\n".to_vec();
    element.extend_from_slice(&json(Some(dialect), reason, message, None));
    element
}

/// The error event of OpenAI's WebSockets, Responses and Realtime: a whole message. `lane` is the `stream_id` of
/// what failed.
pub fn render_message(
    reason: Reason,
    message: &str,
    request_id: &str,
    lane: Option<&str>,
) -> Vec<u8> {
    let code = reason.public_code();
    let event = Message {
        kind: "error",
        event_id: request_id,
        status: reason.status(),
        error: openai(reason, message, &code),
        stream_id: lane,
    };
    serde_json::to_vec(&event).expect("strings always serialise")
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    event_id: &'a str,
    status: u16,
    error: Inner<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<&'a str>,
}

/// Both shapes in one: SDKs read `error`, NetBird's clients the top level.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Inner<'a>,
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Inner<'a> {
    OpenAi {
        message: &'a str,
        #[serde(rename = "type")]
        kind: &'static str,
        param: Option<&'static str>,
        code: &'a str,
    },
    Anthropic {
        #[serde(rename = "type")]
        kind: &'static str,
        message: &'a str,
    },
    Google(GoogleError<'a>),
    Ollama(&'a str),
}

fn json(
    dialect: Option<Dialect>,
    reason: Reason,
    message: &str,
    request_id: Option<&str>,
) -> Vec<u8> {
    let code = reason.public_code();
    let error = match dialect {
        Some(Dialect::Bedrock) => {
            let body = AwsBody {
                message,
                code: &code,
                request_id,
            };
            return serde_json::to_vec(&body).expect("strings always serialise");
        }
        Some(Dialect::Anthropic) => Inner::Anthropic {
            kind: anthropic_type(reason.status()),
            message,
        },
        Some(Dialect::Vertex | Dialect::Gemini) => {
            Inner::Google(GoogleError::new(reason, &code, message))
        }
        Some(Dialect::Ollama) => Inner::Ollama(message),
        None | Some(Dialect::OpenAi | Dialect::Azure) => openai(reason, message, &code),
    };
    let body = Body {
        kind: "error",
        error,
        code: &code,
        message,
        request_id,
    };
    serde_json::to_vec(&body).expect("strings always serialise")
}

fn openai<'a>(reason: Reason, message: &'a str, code: &'a str) -> Inner<'a> {
    Inner::OpenAi {
        message,
        kind: openai_type(reason.status()),
        // Which parameter is at fault; SDKs expect the key.
        param: model_at_fault(reason).then_some("model"),
        code,
    }
}

/// <https://docs.claude.com/en/api/errors>.
fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 | 431 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// OpenAI's SDKs choose the exception by status; the type is for people and for older clients.
fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

/// Exceptions of the service model `bedrock-runtime`.
fn aws_type(status: u16) -> &'static str {
    match status {
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        504 => "ModelTimeoutException",
        400..=499 => "ValidationException",
        _ => "InternalServerException",
    }
}

fn model_at_fault(reason: Reason) -> bool {
    matches!(reason, Reason::ModelMissing | Reason::ModelNotRoutable)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn both_shapes_carry_the_public_code() {
        let reason = Reason::ModelNotRoutable;
        let code = "llm_policy.model_not_routable";
        let openai = json!({
            "type": "error",
            "error": {"message": "say \"no\"\n", "type": "permission_error", "param": "model", "code": code},
            "code": code, "message": "say \"no\"\n", "request_id": "r1",
        });
        for dialect in [None, Some(Dialect::OpenAi), Some(Dialect::Azure)] {
            let body = render(dialect, reason, "say \"no\"\n", "r1");
            assert_eq!(parsed(&body), openai);
        }
        let body = render(Some(Dialect::Anthropic), reason, "no", "r1");
        assert_eq!(
            parsed(&body),
            json!({
                "type": "error",
                "error": {"type": "permission_error", "message": "no"},
                "code": code, "message": "no", "request_id": "r1",
            })
        );
    }

    #[test]
    fn aws_sdks_find_message_and_exception() {
        let bedrock = Some(Dialect::Bedrock);
        let body = render(bedrock, Reason::NoAuthorisedProvider, "no", "r1");
        let code = "llm_policy.no_authorised_provider";
        assert_eq!(
            parsed(&body),
            json!({"message": "no", "code": code, "request_id": "r1"})
        );
        for (reason, name) in [
            (Reason::NoAuthorisedProvider, "AccessDeniedException"),
            (Reason::UnknownPath, "ResourceNotFoundException"),
            (Reason::BodyTooLarge, "ValidationException"),
            (Reason::Overloaded, "ServiceUnavailableException"),
            (Reason::FirstByteTimeout, "ModelTimeoutException"),
            (Reason::ConnectFailed, "InternalServerException"),
        ] {
            let header = ("x-amzn-errortype", name);
            assert_eq!(aws_error_type(bedrock, reason), Some(header));
            assert_eq!(aws_error_type(Some(Dialect::OpenAi), reason), None);
        }
        let event = render_event(Dialect::Bedrock, Reason::Draining, "later");
        let mut found = Vec::new();
        event_stream::Framer::default().feed(&event, &mut |message| {
            assert_eq!(message.header(":message-type"), Some("exception"));
            let name = message.header(":exception-type").unwrap().to_owned();
            found.push((name, parsed(message.payload.unwrap())));
        });
        let payload = json!({"message": "later", "code": "keyway.draining"});
        assert_eq!(found, [("serviceUnavailableException".to_owned(), payload)]);
    }

    #[test]
    fn errors_of_google_have_its_status_and_the_code_in_their_details() {
        let body = render(Some(Dialect::Gemini), Reason::ModelNotRoutable, "no", "r1");
        let code = "llm_policy.model_not_routable";
        assert_eq!(
            parsed(&body),
            json!({
                "type": "error",
                "error": {
                    "code": 403, "message": "no", "status": "PERMISSION_DENIED",
                    "details": [{
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "MODEL_NOT_ROUTABLE", "domain": "keyway", "metadata": {"code": code},
                    }],
                },
                "code": code, "message": "no", "request_id": "r1",
            })
        );
        for (reason, status) in [
            (Reason::ModelMissing, "INVALID_ARGUMENT"),
            (Reason::UnknownPath, "NOT_FOUND"),
            (Reason::Overloaded, "UNAVAILABLE"),
            (Reason::UpstreamAuthFailed, "UNAVAILABLE"),
            (Reason::IdleTimeout, "DEADLINE_EXCEEDED"),
        ] {
            let body = render(Some(Dialect::Vertex), reason, "m", "r");
            assert_eq!(parsed(&body)["error"]["status"], status, "{reason:?}");
        }
        let element = render_element(Dialect::Gemini, Reason::ProviderCut, "m");
        let error = parsed(element.strip_prefix(b",\n").unwrap());
        assert_eq!(error["error"]["code"], 502);
    }

    #[test]
    fn messages_name_the_status_and_the_lane() {
        let reason = Reason::NoAuthorisedProvider;
        let mut expected = json!({
            "type": "error",
            "event_id": "r1",
            "status": 403,
            "error": {"message": "no", "type": "permission_error", "param": null,
                "code": "llm_policy.no_authorised_provider"},
        });
        assert_eq!(parsed(&render_message(reason, "no", "r1", None)), expected);
        expected["stream_id"] = "main".into();
        assert_eq!(
            parsed(&render_message(reason, "no", "r1", Some("main"))),
            expected
        );
    }

    #[test]
    fn types_follow_the_status() {
        let table = [
            (
                Reason::MalformedJson,
                "invalid_request_error",
                "invalid_request_error",
            ),
            (
                Reason::NoAuthorisedProvider,
                "permission_error",
                "permission_error",
            ),
            (Reason::UnknownPath, "not_found_error", "not_found_error"),
            (
                Reason::MethodNotAllowed,
                "invalid_request_error",
                "invalid_request_error",
            ),
            (
                Reason::BodyTooLarge,
                "invalid_request_error",
                "request_too_large",
            ),
            (
                Reason::AuthorityRefused,
                "invalid_request_error",
                "invalid_request_error",
            ),
            (
                Reason::RequestTimeout,
                "invalid_request_error",
                "timeout_error",
            ),
            (Reason::Draining, "server_error", "overloaded_error"),
            (Reason::DialectUnsupported, "server_error", "api_error"),
            (Reason::ConnectFailed, "server_error", "api_error"),
            (Reason::IdleTimeout, "server_error", "timeout_error"),
        ];
        for (reason, openai, anthropic) in table {
            let kind =
                |dialect| parsed(&render(Some(dialect), reason, "m", "r"))["error"]["type"].clone();
            assert_eq!(kind(Dialect::OpenAi), openai, "{reason:?}");
            assert_eq!(kind(Dialect::Anthropic), anthropic, "{reason:?}");
        }
    }

    #[test]
    fn events_are_whole_frames() {
        let openai = render_event(Dialect::OpenAi, Reason::ProviderCut, "line\nbreak");
        let data = openai.strip_prefix(b"data: ").unwrap();
        let data = data.strip_suffix(b"\n\n").unwrap();
        assert!(!data.contains(&b'\n'));
        assert_eq!(parsed(data)["error"]["code"], "keyway.provider_cut");
        assert_eq!(parsed(data)["code"], "keyway.provider_cut");

        let ollama = render_event(Dialect::Ollama, Reason::ProviderCut, "m");
        let line = ollama.strip_suffix(b"\n").unwrap();
        assert!(!line.contains(&b'\n'));
        assert_eq!(parsed(line)["error"], "m");

        let anthropic = render_event(Dialect::Anthropic, Reason::ProviderCut, "m");
        let data = anthropic.strip_prefix(b"event: error\ndata: ").unwrap();
        let data = parsed(data.strip_suffix(b"\n\n").unwrap());
        assert_eq!(data["type"], "error");
        assert_eq!(data["error"]["type"], "api_error");
    }
}
