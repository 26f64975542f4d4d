//! OpenAI's WebSocket APIs: their paths, and what of their events decides something. Sources: the guide
//! "WebSocket mode" and the reference of Realtime on developers.openai.com; openai-python 3.54.

mod agent_event;
mod over_http;
mod provider_event;
mod realtime_wish;

use std::borrow::Cow;

use super::{
    Classified, Dialect, ModelSource, Object, Operation,
    path::{AgentPath, decode_model},
};

pub use agent_event::{ClientEvent, client_event, keeps_model};
pub use over_http::{http_body, message_of_error, message_of_event};
pub use provider_event::{ServerEvent, ServerEventKind, refuses_credential, server_event};
pub use realtime_wish::{RealtimeWish, realtime_wish};

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
}
