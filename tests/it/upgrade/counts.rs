//! A count that was told is told by whoever comes after: no scrape sees it fall.

use super::{Late, ends, samples, signal, socket, start, upgrade};
use crate::admin::http::{Answer, wait_for};
use crate::support::party::{Link, Party};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

const NAME: &str = "a.example";
const OPENED: &str = "snihub_tunnels_opened_total";

/// The old process answers a scrape that it has let in after it has handed over, and counts on; then
/// it cannot be asked.
#[test]
fn what_the_process_before_has_told_last_is_the_least_that_is_told() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "hello_timeout: 60s");
    let mut opened = 0.0;
    // A head has some seconds to be whole: more than an upgrade takes, unless the machine is busy.
    let (told, old, new, _standing) = (0..20)
        .find_map(|_| {
            let old = super::pid(&hub);
            let standing = Link::open(hub.addr(), NAME, party).unwrap();
            let mut late = Late::begin(&hub, NAME);
            let mut scrape = UnixStream::connect(socket(&hub)).unwrap();
            let head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
            scrape.write_all(&head[..20]).unwrap();
            opened = samples(&hub)[OPENED];
            let new = upgrade(&hub)["new_pid"].as_u64().unwrap();
            // Nobody asks the old process, while it counts one tunnel more.
            signal(new, Signal::STOP);
            assert_eq!(late.end(), b'a');
            let mut answer = String::new();
            // It may have been closed.
            let _ = scrape.write_all(&head[20..]);
            let _ = scrape.read_to_string(&mut answer);
            if answer.is_empty() {
                signal(new, Signal::CONT);
                return None;
            }
            Some((Answer::of(&answer).samples(), old, new, (standing, late)))
        })
        .expect("a scrape that the old process answers");
    signal(old, Signal::STOP);
    signal(new, Signal::CONT);
    assert!(told[OPENED] >= opened, "{} of {opened}", told[OPENED]);
    let now = samples(&hub);
    assert!(
        now[OPENED] >= told[OPENED],
        "{OPENED} was {}, is {}",
        told[OPENED],
        now[OPENED]
    );
    // Nothing is lost: it is told when it is known.
    signal(old, Signal::CONT);
    wait_for("the late one is counted", || match samples(&hub)[OPENED] {
        seen if seen > opened => Ok(()),
        seen => Err(format!("{seen} of {opened} and one")),
    });
    drop(_standing);
    ends(old);
}

/// The sums go on with what a process before the hub said last, and say so.
#[test]
fn counts_of_a_process_that_does_not_answer_are_told_as_old() {
    let party = Party::start(b'a');
    let hub = start(&[NAME], party, "");
    let _standing = Link::open(hub.addr(), NAME, party).unwrap();
    let old = super::pid(&hub);
    upgrade(&hub);
    let told = || {
        let one = super::status(&hub)["predecessors"][0].clone();
        (one["answers"].clone(), super::ask(&hub, &["status"]))
    };
    let (answers, text) = told();
    assert_eq!(answers, true);
    assert!(!text.contains("old"), "{text}");
    signal(old, Signal::STOP);
    let (answers, text) = told();
    assert_eq!(answers, false);
    let line = format!("1 open, 1 opened, in part old: pid {old} does not answer");
    assert!(text.contains(&line), "{line:?} in {text}");
    signal(old, Signal::CONT);
    wait_for("it answers", || match told() {
        (answers, text) if answers == true && !text.contains("old") => Ok(()),
        (_, text) => Err(text),
    });
}
