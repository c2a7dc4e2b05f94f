//! The keys of hub.yaml about what is logged where.

use super::keys::{mapping, put, unknown, word};
use super::problem::Reporter;
use super::settings::Settings;
use super::value::scalar;
use super::yaml::{Node, Value};
use crate::telemetry::LogFormat;
use std::path::PathBuf;

/// Keys of `access_log`.
pub(super) const ACCESS_LOG: [&str; 2] = ["format", "to"];

/// A format alone, or with where to.
pub(super) fn access_log(settings: &mut Settings, node: Node<'_>, reporter: &mut Reporter<'_>) {
    const FORMATS: [(&str, LogFormat); 3] = [
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
        ("squid", LogFormat::Squid),
    ];
    let log = &mut settings.access_log;
    if !matches!(node.value(), Value::Mapping(_)) {
        put(
            &mut log.format,
            word("access_log", node, &FORMATS, reporter),
        );
        return;
    }
    for (key, at, node) in mapping("access_log", node, &ACCESS_LOG, reporter) {
        match key {
            "format" => put(&mut log.format, word(key, node, &FORMATS, reporter)),
            "to" => {
                let to = scalar(reporter, key, node).and_then(|mut value| match value.text {
                    "stdout" => Some(None),
                    "" => value.refuse("is no path: give a file, or stdout"),
                    text => Some(Some(PathBuf::from(text))),
                });
                put(&mut log.to, to);
            }
            key => unknown(key, at, &ACCESS_LOG, reporter),
        }
    }
}
