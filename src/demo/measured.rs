//! What the demo measured, and what of it is not as it should be. No I/O.

use super::link::Link;
use super::party::label;
use super::serve::Served;
use super::witness::Closed;
use std::net::SocketAddr;
use std::time::Duration;

/// Everything the table shows.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) hub: SocketAddr,
    pub(super) links: Vec<LinkRow>,
    pub(super) joined: Result<Joined, String>,
    pub(super) trials: Vec<Trial>,
    pub(super) took: Duration,
}

/// How the third party came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) name: &'static str,
    /// From renaming sni.yaml into place until a handshake with the newcomer was done.
    pub(super) routed_after: Duration,
    /// Payload bytes that the standing links moved in that time.
    pub(super) moved_meanwhile: u64,
}

/// One link between two parties.
#[derive(Debug, Clone)]
pub(super) struct LinkRow {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// Payload bytes that were to be moved each way at least.
    pub(super) minimum: u64,
    /// Handshake and round trip were measured while other links ran at full speed.
    pub(super) busy: bool,
    /// Both ends, or why there is no link.
    pub(super) seen: Result<Ends, String>,
}

/// A link from all sides that saw it.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    pub(super) link: Link,
    pub(super) served: Option<Served>,
    pub(super) closed: Option<Closed>,
    /// Whether this link was meant for `splice`, and the hub may splice here.
    pub(super) wants_splice: bool,
}

/// Something that was tried once.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) what: &'static str,
    /// What the client saw.
    pub(super) client: String,
    /// What the hub recorded.
    pub(super) hub: String,
    pub(super) faults: Vec<String>,
}

impl Measured {
    /// How many things were looked at.
    pub(super) fn checks(&self) -> usize {
        self.links.len() + 1 + self.trials.len()
    }

    /// Row and reason of everything that is not as it should be.
    pub(super) fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for row in &self.links {
            faults.extend(row.faults().into_iter().map(|fault| (row.title(), fault)));
        }
        match &self.joined {
            Ok(joined) if joined.moved_meanwhile == 0 => faults.push((
                format!("{} joins", label(joined.name)),
                "the standing links moved nothing meanwhile".to_owned(),
            )),
            Ok(_) => {}
            Err(why) => faults.push(("a third party joins".to_owned(), why.clone())),
        }
        for trial in &self.trials {
            faults.extend(
                trial
                    .faults
                    .iter()
                    .map(|fault| (trial.what.to_owned(), fault.clone())),
            );
        }
        faults
    }
}

impl LinkRow {
    /// Who calls whom.
    pub(super) fn title(&self) -> String {
        format!("{} -> {}", label(self.from), label(self.to))
    }

    /// What is not as it should be.
    pub(super) fn faults(&self) -> Vec<String> {
        match &self.seen {
            Ok(ends) => ends.faults(self.to, self.minimum),
            Err(why) => vec![why.clone()],
        }
    }
}

impl Ends {
    /// Of the two hashes, those that were compared and right.
    pub(super) fn right_hashes(&self) -> usize {
        let far = self
            .served
            .as_ref()
            .and_then(|served| served.end.as_ref().ok());
        let ends = [Some(&self.link.end), far];
        ends.into_iter()
            .flatten()
            .filter(|end| end.hash_right)
            .count()
    }

    /// What client, server and the hub's record do not agree on, or should not have.
    pub(super) fn faults(&self, to: &str, minimum: u64) -> Vec<String> {
        let mut faults = Faults(Vec::new());
        let own = &self.link.end;
        faults.unless(own.hash_right, || {
            "the caller received other data than was sent".into()
        });
        faults.unless(own.sent >= minimum, || {
            format!("sent {} bytes, not {minimum}", own.sent)
        });
        self.compare_ends(to, minimum, &mut faults);
        self.compare_record(to, &mut faults);
        faults.0
    }

    fn compare_ends(&self, to: &str, minimum: u64, faults: &mut Faults) {
        let (link, own) = (&self.link, &self.link.end);
        let Some(served) = &self.served else {
            return faults.add(format!("{to} never saw the end of the link"));
        };
        let far = match &served.end {
            Ok(far) => far,
            Err(why) => return faults.add(format!("{to} saw it fail: {why}")),
        };
        faults.unless(far.hash_right, || {
            format!("{to} received other data than was sent")
        });
        faults.unless(far.sent >= minimum, || {
            format!("{to} sent {} bytes, not {minimum}", far.sent)
        });
        for (sent, received) in [(own.sent, far.received), (far.sent, own.received)] {
            let lost = || format!("{sent} bytes were sent, {received} arrived");
            faults.unless(sent == received, lost);
        }
        let name = served.server_name.as_deref();
        faults.unless(name == Some(to), || {
            format!("{to} was asked for {}", name.unwrap_or("nobody"))
        });
        let raw = (served.raw_received, served.raw_sent);
        faults.unless(raw == (link.raw_sent, link.raw_received), || {
            "the TLS bytes of both ends differ in number".to_owned()
        });
    }

    fn compare_record(&self, to: &str, faults: &mut Faults) {
        let Some(closed) = &self.closed else {
            return faults.add("the hub has no record of its end".to_owned());
        };
        let counted = (closed.client_to_upstream, closed.upstream_to_client);
        let raw = (self.link.raw_sent, self.link.raw_received);
        faults.unless(counted == raw, || {
            let (up, down) = counted;
            format!(
                "the hub counted {up} and {down} bytes, the caller {} and {}",
                raw.0, raw.1
            )
        });
        faults.unless(closed.ended == "both_closed", || {
            format!("the hub says it ended as {}: {}", closed.ended, closed.why)
        });
        let (opened, ended) = (closed.opened_lines, closed.closed_lines);
        faults.unless((opened, ended) == (1, 1), || {
            format!("{opened} opened and {ended} closed records")
        });
        let relay = closed.relay.as_deref().unwrap_or("none");
        faults.unless(!self.wants_splice || relay == "splice", || {
            format!("relayed by {relay}, not splice")
        });
        let name = closed.name.as_deref().unwrap_or("none");
        faults.unless(name == to, || format!("the hub recorded the name {name}"));
    }
}

/// What was found wrong so far.
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: String) {
        self.0.push(fault);
    }

    fn unless(&mut self, right: bool, fault: impl FnOnce() -> String) {
        if !right {
            self.add(fault());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::exchange::End;
    use super::*;

    /// A link with nothing wrong.
    pub(in super::super) fn good() -> LinkRow {
        let end = End {
            sent: 2_000_000,
            received: 1_000_000,
            hash_right: true,
        };
        let link = Link {
            source: "127.0.0.1:1".parse().unwrap(),
            handshake: Duration::from_micros(1900),
            round_trip: Duration::from_micros(90),
            took: Duration::from_millis(500),
            end: end.clone(),
            raw_sent: 2_100_000,
            raw_received: 1_100_000,
            hello: 1600,
        };
        let served = Served {
            link: 1,
            server_name: Some("10000.fate.test".to_owned()),
            end: Ok(End {
                sent: end.received,
                received: end.sent,
                hash_right: true,
            }),
            raw_sent: link.raw_received,
            raw_received: link.raw_sent,
        };
        let closed = Closed {
            name: served.server_name.clone(),
            client_to_upstream: link.raw_sent,
            upstream_to_client: link.raw_received,
            relay: Some("splice".to_owned()),
            ended: "both_closed".to_owned(),
            why: "both sides closed".to_owned(),
            opened_lines: 1,
            closed_lines: 1,
        };
        LinkRow {
            from: "9999.fate.test",
            to: "10000.fate.test",
            minimum: 1_000_000,
            busy: false,
            seen: Ok(Ends {
                link,
                served: Some(served),
                closed: Some(closed),
                wants_splice: true,
            }),
        }
    }

    #[test]
    fn a_good_link_has_no_fault() {
        assert_eq!(good().faults(), Vec::<String>::new());
    }

    #[test]
    fn each_single_difference_is_a_fault_that_says_what() {
        type Spoil = fn(&mut Ends);
        fn far(ends: &mut Ends) -> &mut End {
            ends.served.as_mut().unwrap().end.as_mut().unwrap()
        }
        fn record(ends: &mut Ends) -> &mut Closed {
            ends.closed.as_mut().unwrap()
        }
        let spoils: [(Spoil, &str); 18] = [
            (
                |e| e.link.end.hash_right = false,
                "the caller received other data",
            ),
            (
                |e| far(e).hash_right = false,
                "10000.fate.test received other data",
            ),
            (
                |e| e.link.end.sent -= 1_500_000,
                "sent 500000 bytes, not 1000000",
            ),
            (
                |e| far(e).sent = 999_999,
                "10000.fate.test sent 999999 bytes, not 1000000",
            ),
            (
                |e| far(e).received -= 1,
                "2000000 bytes were sent, 1999999 arrived",
            ),
            (
                |e| e.link.end.received -= 1,
                "1000000 bytes were sent, 999999 arrived",
            ),
            (|e| e.served = None, "never saw the end"),
            (
                |e| e.served.as_mut().unwrap().end = Err("eof".into()),
                "saw it fail: eof",
            ),
            (
                |e| e.served.as_mut().unwrap().server_name = None,
                "asked for nobody",
            ),
            (
                |e| e.served.as_mut().unwrap().raw_sent += 1,
                "differ in number",
            ),
            (|e| e.closed = None, "no record of its end"),
            (
                |e| record(e).client_to_upstream -= 1,
                "counted 2099999 and 1100000 bytes",
            ),
            (
                |e| record(e).upstream_to_client += 1,
                "counted 2100000 and 1100001 bytes",
            ),
            (
                |e| record(e).ended = "client_reset".into(),
                "ended as client_reset",
            ),
            (|e| record(e).opened_lines = 2, "2 opened and 1 closed"),
            (|e| record(e).closed_lines = 2, "1 opened and 2 closed"),
            (
                |e| record(e).relay = Some("copy".into()),
                "relayed by copy, not splice",
            ),
            (|e| record(e).name = None, "recorded the name none"),
        ];
        for (n, (spoil, wanted)) in spoils.into_iter().enumerate() {
            let mut row = good();
            spoil(row.seen.as_mut().unwrap());
            let faults = row.faults();
            assert!(
                faults.iter().any(|fault| fault.contains(wanted)),
                "{n}: {faults:?}"
            );
        }
    }

    #[test]
    fn a_copying_hub_is_right_where_splice_is_not_to_be_had() {
        let mut row = good();
        let ends = row.seen.as_mut().unwrap();
        ends.closed.as_mut().unwrap().relay = Some("copy".to_owned());
        ends.wants_splice = false;
        assert_eq!(row.faults(), Vec::<String>::new());
    }
}
