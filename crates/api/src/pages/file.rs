//! A file of a page: answered with a tag of its content, so that a browser loads it once, and never an old one.

use std::hash::{DefaultHasher, Hasher};
use std::sync::OnceLock;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};

/// What a page may do: load from where it came, and nothing from elsewhere. Both editors set styles by script, and carry
/// pictures and fonts within their files.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file that is part of this program.
#[derive(Debug)]
pub struct File {
    kind: &'static str,
    bytes: &'static [u8],
    tag: OnceLock<String>,
}

impl File {
    const fn new(kind: &'static str, bytes: &'static [u8]) -> File {
        File { kind, bytes, tag: OnceLock::new() }
    }

    pub const fn html(bytes: &'static [u8]) -> File {
        File::new("text/html; charset=utf-8", bytes)
    }

    pub const fn css(bytes: &'static [u8]) -> File {
        File::new("text/css; charset=utf-8", bytes)
    }

    pub const fn script(bytes: &'static [u8]) -> File {
        File::new("text/javascript; charset=utf-8", bytes)
    }

    pub const fn svg(bytes: &'static [u8]) -> File {
        File::new("image/svg+xml", bytes)
    }

    #[cfg(test)]
    pub fn bytes(&self) -> &'static [u8] {
        self.bytes
    }

    /// The file, or that the browser has it already.
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let tag = self.tag.get_or_init(|| tag(self.bytes));
        answer(request, self.kind, tag, || Bytes::from_static(self.bytes))
    }
}

/// A tag of this content.
pub fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("\"{:016x}\"", hasher.finish())
}

/// What has this tag, or that the browser has it already.
pub fn answer(request: &HttpRequest, kind: &str, tag: &str, bytes: impl FnOnce() -> Bytes) -> HttpResponse {
    let known = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known = known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    for (name, value) in [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        insert(&mut response, name, value);
    }
    if is_known {
        return response.finish();
    }
    insert(&mut response, header::CONTENT_TYPE, kind);
    response.body(bytes())
}

fn insert(response: &mut actix_web::HttpResponseBuilder, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.insert_header((name, value));
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_known_file_is_not_sent_again() {
        let file = File::css(b"body {}");
        let first = file.answer(&TestRequest::default().to_http_request());
        assert_eq!(first.status(), 200);
        let tag = first.headers().get(header::ETAG).unwrap().to_str().unwrap().to_owned();
        for (known, status) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            ("\"other\"".to_owned(), 200),
            (String::new(), 200),
        ] {
            let request = TestRequest::default().insert_header((header::IF_NONE_MATCH, known.clone()));
            assert_eq!(file.answer(&request.to_http_request()).status(), status, "{known}");
        }
    }
}
