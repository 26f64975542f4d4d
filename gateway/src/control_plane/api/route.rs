//! `Route`: one method of one path with its handler, who may call it, and what the OpenAPI document says of
//! it. The router and the document are made from the same list, so that nothing is served undocumented.

use std::collections::BTreeMap;

use axum::{
    Router,
    handler::Handler,
    middleware,
    routing::{MethodFilter, MethodRouter, on},
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    access::{self, Access},
    state::AppState,
};
use crate::control_plane::usage::Page;

/// See the module.
pub(super) struct Route {
    /// Below `/api`.
    pub(super) path: &'static str,
    pub(super) method: Verb,
    pub(super) access: Access,
    pub(super) operation: Map<String, Value>,
    pub(super) schemas: Schemas,
    handler: MethodRouter<AppState>,
}

/// What this API uses of HTTP's methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    /// As the document has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }

    const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// Schemas by name.
#[derive(Default)]
pub(super) struct Schemas(pub(super) BTreeMap<String, Value>);

impl Schemas {
    /// Adds a type and what it is made of, and refers to it.
    fn reference<T: ToSchema>(&mut self, name: &str) -> Value {
        let mut parts = vec![(name.to_owned(), T::schema())];
        T::schemas(&mut parts);
        for (name, schema) in parts {
            let mut schema = serde_json::to_value(schema).expect("a schema has string keys only");
            plain(&mut schema);
            self.add(name, schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    pub(super) fn add(&mut self, name: String, schema: Value) {
        if let Some(known) = self.0.get(&name) {
            assert!(*known == schema, "two schemas have the name {name}");
        }
        self.0.insert(name, schema);
    }
}

/// Comments of the code are one line here, without its links.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text
                    .replace('\n', " ")
                    .replace("[`", "`")
                    .replace("`]", "`");
            }
            object.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Route {
    /// `GET` of `path`; `id` is the operation's in the document.
    pub(super) fn get<H, T>(path: &'static str, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        Self::new(Verb::Get, path, id, handler)
    }

    pub(super) fn post<H, T>(path: &'static str, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        Self::new(Verb::Post, path, id, handler)
    }

    pub(super) fn put<H, T>(path: &'static str, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        Self::new(Verb::Put, path, id, handler)
    }

    pub(super) fn delete<H, T>(path: &'static str, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        Self::new(Verb::Delete, path, id, handler)
    }

    /// Reads are for whoever reads, everything else for whoever changes, unless [`Self::access`] says
    /// otherwise.
    fn new<H, T>(verb: Verb, path: &'static str, id: &'static str, handler: H) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        let mut route = Self {
            path,
            method: verb,
            access: match verb {
                Verb::Get => Access::Read,
                Verb::Post | Verb::Put | Verb::Delete => Access::Change,
            },
            operation: Map::new(),
            schemas: Schemas::default(),
            handler: on(verb.filter(), handler),
        };
        route.operation.insert("operationId".to_owned(), json!(id));
        let names = path.split('/').filter_map(|part| {
            let name = part.strip_prefix('{')?.strip_suffix('}')?;
            Some(name.trim_start_matches('*'))
        });
        let mut takes_id = false;
        for name in names {
            takes_id = true;
            route.parameter(name, "path", json!({"type": "string"}), "", true);
        }
        if takes_id {
            route = route.refuses(404, "There is none of that id.");
        }
        route
    }

    pub(super) fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// A line, and what else is worth knowing.
    pub(super) fn says(mut self, summary: &str, description: &str) -> Self {
        self.operation.insert("summary".to_owned(), json!(summary));
        if !description.is_empty() {
            let text = json!(description);
            self.operation.insert("description".to_owned(), text);
        }
        self
    }

    /// A JSON body.
    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        let schema = self.schemas.reference::<T>(&T::name());
        let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
        self.operation.insert("requestBody".to_owned(), body);
        self.refuses(400, "The body is no JSON, or not of this shape.")
            .refuses(413, "The body is too large.")
            .refuses(415, "The body is not declared as JSON.")
            .refuses(422, "A field cannot be accepted; `field` names it.")
    }

    /// 200 with one of these.
    pub(super) fn answers<T: ToSchema>(mut self) -> Self {
        let schema = self.schemas.reference::<T>(&T::name());
        self.answer("application/json", schema)
    }

    /// 200 with a page of these. A generic type has no name of its own, so that it is given one.
    pub(super) fn answers_page<T: ToSchema>(mut self, name: &str) -> Self {
        self.schemas.reference::<T>(&T::name());
        let schema = self.schemas.reference::<Page<T>>(name);
        self.answer("application/json", schema)
    }

    /// 200 with any number of these.
    pub(super) fn answers_list<T: ToSchema>(mut self) -> Self {
        let items = self.schemas.reference::<T>(&T::name());
        self.answer("application/json", json!({"type": "array", "items": items}))
    }

    /// 200 with an object of which nothing is said; deletions have an empty one.
    pub(super) fn answers_object(self) -> Self {
        self.answer("application/json", json!({"type": "object"}))
    }

    /// 200 with text of this type; a further one may follow.
    pub(super) fn answers_text(self, content_type: &str) -> Self {
        self.answer(content_type, json!({"type": "string"}))
    }

    /// The answer to a document's read or change has its revision, and changes take it.
    pub(super) fn versioned(mut self) -> Self {
        let answer = &mut self.responses()["200"];
        answer["headers"]["ETag"] = json!({
            "description": "The document's revision, for `If-Match`.",
            "schema": {"type": "string"},
        });
        self
    }

    /// Takes `If-Match`, and loses races.
    pub(super) fn conditional(mut self) -> Self {
        let text = "The `ETag` of what is meant to be changed; anything else is answered with 412.";
        self.parameter("If-Match", "header", json!({"type": "string"}), text, false);
        self.refuses(
            412,
            "It changed since `If-Match`, or something is in the way.",
        )
        .contended()
    }

    /// A write of the store.
    pub(super) fn contended(self) -> Self {
        self.refuses(409, "Somebody else changed it meanwhile.")
            .refuses(507, "The disk is too full to write.")
    }

    pub(super) fn refuses(mut self, status: u16, description: &str) -> Self {
        let answer = json!({
            "description": description,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Error"}},
            },
        });
        self.responses().insert(status.to_string(), answer);
        self
    }

    /// Another status with one of these.
    pub(super) fn also<T: ToSchema>(mut self, status: u16, description: &str) -> Self {
        let schema = self.schemas.reference::<T>(&T::name());
        let content = json!({"application/json": {"schema": schema}});
        let answer = json!({"description": description, "content": content});
        self.responses().insert(status.to_string(), answer);
        self
    }

    pub(super) fn query(mut self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter(name, "query", schema, description, false);
        self.refuses(422, "A parameter cannot be used; `field` names it.")
    }

    /// The part of the router that serves this.
    pub(super) fn mount(self, router: Router<AppState>) -> Router<AppState> {
        let handler = match self.access {
            Access::Open => self.handler,
            Access::Known | Access::Health | Access::Read | Access::Change | Access::Own => {
                let check = middleware::from_fn_with_state(self.access, access::check);
                self.handler.route_layer(check)
            }
        };
        router.route(self.path, handler)
    }

    fn answer(mut self, content_type: &str, schema: Value) -> Self {
        let answer = self
            .responses()
            .entry("200")
            .or_insert_with(|| json!({"description": "Done.", "content": {}}));
        answer["content"][content_type] = json!({"schema": schema});
        self
    }

    fn parameter(
        &mut self,
        name: &str,
        place: &str,
        schema: Value,
        description: &str,
        required: bool,
    ) {
        let mut parameter =
            json!({"name": name, "in": place, "required": required, "schema": schema});
        if !description.is_empty() {
            parameter["description"] = json!(description);
        }
        let parameters = self.operation.entry("parameters");
        if let Value::Array(all) = parameters.or_insert_with(|| json!([])) {
            all.push(parameter);
        }
    }

    fn responses(&mut self) -> &mut Map<String, Value> {
        let responses = self.operation.entry("responses");
        responses
            .or_insert_with(|| json!({}))
            .as_object_mut()
            .expect("made here as an object")
    }
}
