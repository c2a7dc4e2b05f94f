//! What a process prints, line by line, while it runs.

use super::hub::PATIENCE;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// What the process printed.
#[derive(Debug, Default)]
pub(crate) struct Log {
    state: Mutex<Lines>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    /// Every line, for messages.
    text: Vec<String>,
    /// Those that are JSON objects.
    json: Vec<Value>,
    /// Pipes that are still open.
    open: usize,
}

impl Log {
    /// Reads a pipe to its end in a thread of its own.
    pub(crate) fn gather(self: &Arc<Log>, pipe: impl Read + Send + 'static) {
        self.state.lock().unwrap().open += 1;
        let log = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let json = serde_json::from_str::<Value>(&line)
                    .ok()
                    .filter(Value::is_object);
                let mut state = log.state.lock().unwrap();
                state.text.push(line);
                state.json.extend(json);
                log.grown.notify_all();
            }
            log.state.lock().unwrap().open -= 1;
            log.grown.notify_all();
        });
    }

    /// The first JSON line from number `mark` on that `wanted` takes.
    pub(crate) fn wait(&self, mark: usize, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut looked_at = mark;
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(line) = state.json.iter().skip(looked_at).find(|line| wanted(line)) {
                return line.clone();
            }
            looked_at = looked_at.max(state.json.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if state.open == 0 || left.is_zero() {
                let why = if state.open == 0 {
                    "the hub has ended"
                } else {
                    "time is up"
                };
                drop(state);
                panic!("no line: {what}: {why}; log:\n{}", self.tail());
            }
            state = self.grown.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The first line of any kind, past or to come, with these words in it.
    pub(crate) fn wait_text(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(line) = state.text.iter().find(|line| line.contains(words)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.open == 0 || left.is_zero() {
                drop(state);
                panic!("no line with {words:?}; log:\n{}", self.tail());
            }
            state = self.grown.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The JSON lines so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.state.lock().unwrap().json.clone()
    }

    /// How many there are.
    pub(crate) fn mark(&self) -> usize {
        self.state.lock().unwrap().json.len()
    }

    /// Waits until both pipes are closed.
    pub(crate) fn wait_end(&self, deadline: Instant) {
        let mut state = self.state.lock().unwrap();
        while state.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the process ended, and somebody still holds its stdout"
            );
            state = self.grown.wait_timeout(state, left).unwrap().0;
        }
    }

    /// The last lines, for messages.
    pub(crate) fn tail(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = &state.text[state.text.len().saturating_sub(40)..];
        if lines.is_empty() {
            "(not one line)".to_owned()
        } else {
            lines.join("\n")
        }
    }
}
