//! `/api/docs`: a page to read the OpenAPI document and to try it. It is Swagger UI, out of this binary.

use std::sync::Arc;

use axum::{
    extract::Path,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use utoipa_swagger_ui::Config;

use super::error::ApiError;

const START: &str = "start.js";

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Keyway management API</title>
<base href="/api/docs/">
<link rel="icon" href="favicon-32x32.png">
<link rel="stylesheet" href="swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="swagger-ui-bundle.js"></script>
<script src="start.js"></script>
</body>
</html>
"#;

const START_JS: &str = r##"SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"##;

/// Swagger UI writes styles into its elements, and has its pictures in the style sheet.
const POLICY: (HeaderName, HeaderValue) = (
    header::CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         base-uri 'self'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
);

pub(super) async fn index() -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    ([POLICY, (header::CONTENT_TYPE, html)], PAGE).into_response()
}

pub(super) async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    if name == START {
        let script = HeaderValue::from_static("text/javascript");
        return Ok(([(header::CONTENT_TYPE, script)], START_JS).into_response());
    }
    let found = utoipa_swagger_ui::serve(&name, Arc::new(Config::from("/api/openapi.json")))
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::not_found("file"))?;
    let content_type = HeaderValue::try_from(found.content_type).map_err(ApiError::internal)?;
    let bytes = found.bytes.into_owned();
    let mut response = ([(header::CONTENT_TYPE, content_type)], bytes).into_response();
    if found.gzpipped {
        // Every browser takes it.
        let gzip = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, gzip);
    }
    Ok(response)
}
