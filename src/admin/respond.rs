//! Answers: a status, a type, a text.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// What every request gets.
pub(super) type Answer = Response<Full<Bytes>>;

/// An answer that is no JSON.
pub(super) fn text(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    answer
}

/// A part of the page. What it may load and ask comes from here, and nothing else: a name that
/// got into it as markup would still do nothing.
pub(super) fn part(kind: &'static str, content: &'static str) -> Answer {
    let mut answer = text(StatusCode::OK, kind, content);
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'",
        ),
    );
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

/// A value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => text(status, "application/json", bytes),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What is wrong, and what to do: `{"error": ...}`.
pub(super) fn problem(status: StatusCode, what: &str) -> Answer {
    let body = serde_json::json!({ "error": what }).to_string();
    text(status, "application/json", body)
}

/// It cannot be done at this moment. `again`: another process may be the hub by now, which is reached
/// in the same way, and `snihub` asks it by itself.
pub(super) fn not_now(why: &str, again: bool) -> Answer {
    let body = serde_json::json!({ "error": why, "again": again });
    json(StatusCode::SERVICE_UNAVAILABLE, &body)
}
