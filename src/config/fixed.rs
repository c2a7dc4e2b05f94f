//! Keys that only a new process can change: what is written waits for it.

use super::ats::IN_PLACE;
use super::keys::Seen;
use super::problem::Problem;
use super::settings::Settings;

const WAITS: &str = "has changed, and the old value stays in force: the new one waits for \
                     `snihub upgrade` (or a restart)";

/// Where it stands what [`Settings`] have.
#[derive(Debug, Default)]
pub struct Written {
    /// hub.yaml, as the operator named it.
    pub(super) file: String,
    /// Where in it the value of each key is.
    pub(super) places: Seen,
    /// ATS's files say where to listen.
    pub(super) ats: bool,
}

/// Has `new` keep what `old` has of those keys, and gives a warning for each that is changed.
pub fn keep_fixed(new: &mut Settings, old: &Settings, written: &Written) -> Vec<Problem> {
    let mut waits = Waits {
        written,
        all: Vec::new(),
    };
    waits.keep("listen", &mut new.listen, &old.listen);
    waits.keep("workers", &mut new.workers, &old.workers);
    let (log, old_log) = (&mut new.access_log.to, &old.access_log.to);
    waits.keep("access_log.to", log, old_log);
    waits.keep("admin", &mut new.admin, &old.admin);
    waits.keep("admin_listen", &mut new.admin_listen, &old.admin_listen);
    let (token, old_token) = (&mut new.admin_token_file, &old.admin_token_file);
    waits.keep("admin_token_file", token, old_token);
    waits.keep("ops_listen", &mut new.ops_listen, &old.ops_listen);
    waits.all.sort_by_key(Problem::sort_key);
    waits.all
}

struct Waits<'w> {
    written: &'w Written,
    all: Vec<Problem>,
}

impl Waits<'_> {
    fn keep<T: Clone + PartialEq>(&mut self, key: &str, new: &mut T, old: &T) {
        if new == old {
            return;
        }
        new.clone_from(old);
        let Written { file, places, ats } = self.written;
        let (file, key) = match IN_PLACE.iter().find(|(here, _)| *ats && *here == key) {
            Some((_, there)) => ("records.config", *there),
            None => (&**file, key),
        };
        // One that was removed stands nowhere.
        let place = places.place(key.split('.').next().unwrap_or(key));
        self.all.push(Problem::warning(file, place, key, WAITS));
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::At;
    use super::*;

    #[test]
    fn each_key_that_waits_is_told_with_its_place() {
        let old = Settings::default();
        let mut new = Settings {
            workers: Some(7),
            ops_listen: Some(([127, 0, 0, 1], 9).into()),
            ..Settings::default()
        };
        new.drain *= 2;
        new.access_log.to = Some("a.log".into());
        let mut written = Written {
            file: "hub.yaml".into(),
            ..Written::default()
        };
        for (line, key) in [(3, "access_log"), (2, "workers")] {
            written.places.note(key, At { line, column: 5 });
        }
        let waits = keep_fixed(&mut new, &old, &written);
        let told: Vec<String> = waits.iter().map(Problem::to_string).collect();
        for (told, want) in told.iter().zip([
            "hub.yaml:2:5: warning: workers: has changed",
            "hub.yaml:3:5: warning: access_log.to: has changed",
            "hub.yaml: warning: ops_listen: has changed",
        ]) {
            assert!(told.starts_with(want), "{told}");
        }
        assert_eq!(waits.len(), 3, "{told:?}");
        let drain = new.drain;
        assert_eq!(new, Settings { drain, ..old });
    }
}
