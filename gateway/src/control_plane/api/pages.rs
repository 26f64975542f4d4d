//! The dashboard: files that `cargo xtask dashboard` built and the tree has, served beside the API on TCP.
//! They are the same for everybody and hold nothing of the node's, so nobody has to be known for them.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::Write as _,
    sync::{LazyLock, OnceLock},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use rust_embed::{Embed, EmbeddedFile};

/// Named after their content by the build.
const HASHED: &str = "assets/";
/// What every address of the dashboard answers with; it finds its page itself.
const INDEX: &str = "index.html";

const HASHED_FOREVER: &str = "public, max-age=31536000, immutable";
const ASKED_ANEW: &str = "no-cache";

/// On every answer. Nothing is loaded from elsewhere, and no script or style stands in the page itself.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

#[derive(Embed)]
#[folder = "dashboard/dist"]
struct Built;

static FILES: LazyLock<HashMap<Cow<'static, str>, PageFile>> = LazyLock::new(|| {
    Built::iter()
        .filter_map(|path| {
            let file = Built::get(&path)?;
            let file = PageFile::new(&path, file);
            Some((path, file))
        })
        .collect()
});

/// `api`, with the dashboard at every path that is none of its own.
pub fn with_pages(api: Router) -> Router {
    api.layer(middleware::from_fn(page_or_api))
}

async fn page_or_api(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return next.run(request).await;
    }
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => page(path, request.headers()),
        _ => (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "GET, HEAD")],
        )
            .into_response(),
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn page(path: &str, headers: &HeaderMap) -> Response {
    let path = path.trim_start_matches('/');
    let file = FILES.get(path).or_else(|| {
        // A file of another version is missing; what looks like no file is a page's address.
        let is_file = path
            .rsplit('/')
            .next()
            .is_some_and(|name| name.contains('.'));
        (!is_file).then(|| FILES.get(INDEX)).flatten()
    });
    match file {
        Some(file) => file.respond(headers),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// One file, as it is sent.
struct PageFile {
    content: Bytes,
    /// Made when it is first asked for; `None` for what is compressed already.
    gzip: Option<OnceLock<Bytes>>,
    content_type: &'static str,
    cache: &'static str,
    etag: HeaderValue,
}

impl PageFile {
    fn new(path: &str, file: EmbeddedFile) -> Self {
        let (content_type, is_text) = kind(path);
        let tag = u64::from_be_bytes(first_bytes(&file.metadata.sha256_hash()));
        Self {
            content: match file.data {
                Cow::Borrowed(data) => Bytes::from_static(data),
                Cow::Owned(data) => Bytes::from(data),
            },
            gzip: is_text.then(OnceLock::new),
            content_type,
            cache: if path.starts_with(HASHED) {
                HASHED_FOREVER
            } else {
                ASKED_ANEW
            },
            etag: HeaderValue::try_from(format!("\"{tag:016x}\""))
                .expect("digits in quotes are a header value"),
        }
    }

    fn respond(&self, headers: &HeaderMap) -> Response {
        let mut response = if headers.get(header::IF_NONE_MATCH) == Some(&self.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            self.body(takes_gzip(headers))
        };
        let own = response.headers_mut();
        own.insert(header::ETAG, self.etag.clone());
        own.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache));
        own.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        response
    }

    fn body(&self, takes_gzip: bool) -> Response {
        let content_type = (header::CONTENT_TYPE, self.content_type);
        match &self.gzip {
            Some(gzip) if takes_gzip => {
                let gzip = gzip.get_or_init(|| compressed(&self.content)).clone();
                let encoding = (header::CONTENT_ENCODING, "gzip");
                ([content_type, encoding], Body::from(gzip)).into_response()
            }
            Some(_) | None => ([content_type], Body::from(self.content.clone())).into_response(),
        }
    }
}

/// Content type, and whether compressing it saves anything.
fn kind(path: &str) -> (&'static str, bool) {
    match path.rsplit('.').next() {
        Some("html") => ("text/html; charset=utf-8", true),
        Some("js") => ("text/javascript; charset=utf-8", true),
        Some("css") => ("text/css; charset=utf-8", true),
        Some("svg") => ("image/svg+xml", true),
        Some("woff2") => ("font/woff2", false),
        _ => ("application/octet-stream", false),
    }
}

fn compressed(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).expect("memory takes all");
    encoder.finish().expect("memory takes all").into()
}

/// Browsers say `gzip` without a weight; whoever says more gets the plain file.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    accepted.any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|one| one.trim() == "gzip"))
    })
}

fn first_bytes(hash: &[u8; 32]) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    first
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    async fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> (Response<()>, Vec<u8>) {
        let api = Router::new().route("/api/agent-network/status", get(|| async { "api" }));
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let service = TowerToHyperService::new(with_pages(api));
        let response = service.call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), body.to_vec())
    }

    /// The largest of its kind.
    fn hashed(extension: &str) -> String {
        let ours = |path: &Cow<'_, str>| path.starts_with(HASHED) && path.ends_with(extension);
        let size = |path: &Cow<'_, str>| Built::get(path).unwrap().data.len();
        let path = Built::iter().filter(ours).max_by_key(size);
        format!("/{}", path.unwrap())
    }

    #[tokio::test]
    async fn every_address_is_a_page_but_the_apis_and_lost_files() {
        let script = hashed(".js");
        let (html, js) = ("text/html; charset=utf-8", "text/javascript; charset=utf-8");
        for (method, path, status, content_type) in [
            ("GET", "/", 200, html),
            ("HEAD", "/", 200, html),
            ("GET", "/providers/ainp_1?q=a", 200, html),
            ("GET", "/apia", 200, html),
            ("GET", &*script, 200, js),
            ("GET", "/theme.js", 200, js),
            ("GET", "/assets/index-gone.js", 404, ""),
            ("GET", "/../Cargo.toml", 404, ""),
            ("POST", "/providers", 405, ""),
            (
                "GET",
                "/api/agent-network/status",
                200,
                "text/plain; charset=utf-8",
            ),
            ("GET", "/api/agent-network/nothing", 404, ""),
        ] {
            let (response, _) = ask(method, path, &[]).await;
            assert_eq!(response.status(), status, "{method} {path}");
            let given = response.headers().get(header::CONTENT_TYPE);
            let given = given.map_or("", |given| given.to_str().unwrap());
            assert_eq!(given, content_type, "{method} {path}");
            let policy = response.headers().get(header::CONTENT_SECURITY_POLICY);
            let is_api = path.starts_with("/api/");
            assert_eq!(policy.is_some(), !is_api, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn hashed_files_are_kept_and_others_asked_for_again() {
        let (kept, _) = ask("GET", &hashed(".css"), &[]).await;
        assert_eq!(kept.headers()[header::CACHE_CONTROL], HASHED_FOREVER);
        let (index, _) = ask("GET", "/", &[]).await;
        assert_eq!(index.headers()[header::CACHE_CONTROL], ASKED_ANEW);
        let tag = index.headers()[header::ETAG].to_str().unwrap().to_owned();
        let (same, body) = ask("GET", "/policies", &[("if-none-match", &tag)]).await;
        assert_eq!((same.status(), body.len()), (StatusCode::NOT_MODIFIED, 0));
    }

    #[tokio::test]
    async fn text_is_compressed_for_whoever_takes_it() {
        let path = hashed(".js");
        let (_, plain) = ask("GET", &path, &[("accept-encoding", "br, gzip;q=0")]).await;
        let (response, small) = ask("GET", &path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(small.len() < plain.len());
        let mut unpacked = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&*small);
        decoder.read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
        let (font, _) = ask("GET", &hashed(".woff2"), &[("accept-encoding", "gzip")]).await;
        assert_eq!(font.headers().get(header::CONTENT_ENCODING), None);
    }

    /// Else the content security policy breaks the page.
    #[test]
    fn the_page_has_no_inline_script_or_style() {
        let index = Built::get(INDEX).unwrap();
        let index = std::str::from_utf8(&index.data).unwrap();
        for script in index.split("<script").skip(1) {
            let (tag, rest) = script.split_once('>').unwrap();
            assert!(tag.contains("src=\"/"), "{tag}");
            assert!(rest.starts_with("</script>"), "{rest}");
        }
        assert!(!index.contains("<style") && !index.contains(" style="));
        assert!(!index.contains("http://") && !index.contains("https://"));
    }
}
