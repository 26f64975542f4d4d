//! The OpenAPI document, made from the same list as the router. The committed copy, `gateway/openapi.json`,
//! is for people and for programs that are made from it; a test compares the two.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    access::Access,
    error::ErrorBody,
    route::{Route, Schemas},
    routes,
};

/// Of this API, not of the node: the last part is raised with every addition, the one before with what could
/// break a client.
const VERSION: &str = "1.0.0";

pub(super) async fn serve() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// As it is served and committed.
pub(super) fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("string keys only");
    text.push('\n');
    text
}

fn document() -> Value {
    let mut paths = Map::new();
    let mut tags = Vec::new();
    let mut schemas = Schemas::default();
    schemas.add(
        ErrorBody::name().into_owned(),
        serde_json::to_value(<ErrorBody<'_> as utoipa::PartialSchema>::schema())
            .expect("a schema has string keys only"),
    );
    for (tag, routes) in routes::all() {
        tags.push(json!({"name": tag}));
        for route in routes {
            let path = format!("/api{}", route.path);
            let verb = route.method.name();
            let item = paths.entry(path).or_insert_with(|| json!({}));
            item[verb] = operation(route, tag, &mut schemas);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keyway management API",
            "version": VERSION,
            "description": "Paths, names and shapes below `/api/agent-network` are those of NetBird's Agent \
                Network; what this node adds stands beside them. Secrets go in and never come out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "security": [{"token": []}, {"bearer": []}, {"cookie": []}, {}],
        "paths": paths,
        "components": {
            "schemas": schemas.0,
            "securitySchemes": {
                "token": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "`Token kwt_…`, made by `keyway token create`.",
                },
                "bearer": {"type": "http", "scheme": "bearer", "description": "The same token."},
                "cookie": {
                    "type": "apiKey", "in": "cookie", "name": "keyway_session",
                    "description": "A browser's session. Changes need `Sec-Fetch-Site: same-origin`, or an \
                        `Origin` of the same host, and a JSON content type.",
                },
            },
        },
    })
}

fn operation(route: Route, tag: &str, schemas: &mut Schemas) -> Value {
    let access = route.access;
    let roles: Vec<&str> = access.roles().iter().map(|role| role.code()).collect();
    let mut route = match access {
        Access::Open => route,
        Access::Known | Access::Health | Access::Read | Access::Change | Access::Own => route
            .refuses(401, "No credentials, or none that hold.")
            .refuses(
                403,
                "The role does not reach, or the request is of another site.",
            ),
    }
    .refuses(400, "The request cannot be read.")
    .refuses(500, "The node's log has the reason.");
    for (name, schema) in std::mem::take(&mut route.schemas.0) {
        schemas.add(name, schema);
    }
    let mut operation = route.operation;
    operation.insert("tags".to_owned(), json!([tag]));
    operation.insert("x-roles".to_owned(), json!(roles));
    if access == Access::Open {
        operation.insert("security".to_owned(), json!([]));
    }
    Value::Object(operation)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::HashSet, path::Path};

    use super::*;

    /// With `KEYWAY_WRITE_OPENAPI` set it writes it; `cargo xtask openapi` does so.
    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        if std::env::var_os("KEYWAY_WRITE_OPENAPI").is_some() {
            std::fs::write(&path, text()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == text(), "run `cargo xtask openapi`");
    }

    #[test]
    fn references_lead_somewhere_and_operations_have_their_own_ids() {
        let document = document();
        let mut ids = HashSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
                assert!(operation["summary"].is_string());
                assert!(operation["responses"]["200"].is_object(), "{operation}");
            }
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
