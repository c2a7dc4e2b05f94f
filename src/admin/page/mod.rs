//! The star as a page: what a browser gets at `/`. Everything is in the binary, nothing comes from
//! elsewhere, and all it shows it asks of the API beside it.

use crate::admin::respond::{self, Answer};
use hyper::StatusCode;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What is at `/page/NAME`.
const PARTS: [(&str, &str, &str); 9] = [
    ("page.css", CSS, include_str!("page.css")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("main.js", SCRIPT, include_str!("main.js")),
    ("hub.js", SCRIPT, include_str!("hub.js")),
    ("model.js", SCRIPT, include_str!("model.js")),
    ("star.js", SCRIPT, include_str!("star.js")),
    ("panels.js", SCRIPT, include_str!("panels.js")),
    ("words.js", SCRIPT, include_str!("words.js")),
    ("dom.js", SCRIPT, include_str!("dom.js")),
];

/// The page.
pub(super) fn index() -> Answer {
    respond::part(HTML, include_str!("page.html"))
}

/// What it is made of.
pub(super) fn part(name: &str) -> Answer {
    match PARTS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, content)) => respond::part(kind, content),
        None => respond::problem(StatusCode::NOT_FOUND, "the page has no such part"),
    }
}
