//! What is told of an upstream, in words.

use super::{Also, Health};
use crate::net::Target;
use crate::pki::{Certificate, DUE_DAYS, Moment};
use crate::probe::Fault;
use crate::terminal::escape;
use crate::tls::ServerName;
use std::time::{Duration, SystemTime};

/// Characters of a cause; what a peer says may be of any length.
const CAUSE: usize = 300;
/// Names of a certificate, and of routes, that a text repeats.
const NAMED: usize = 4;

/// What somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// `failing`, `certificate_due` or `certificate_shared`.
    pub what: &'static str,
    /// What was seen, why it matters, what to do.
    pub text: String,
}

impl Health {
    /// All that is wrong with the upstream of the route of this id.
    pub fn troubles(&self, id: &str, now: SystemTime) -> Vec<Trouble> {
        let now = Moment::of(now);
        let of = |what, text| Trouble { what, text };
        let failing = self.failing.as_ref().map(|why| {
            let since = Moment::of(self.since);
            of(
                "failing",
                format!("{id} fails its probe since {since}: {why}"),
            )
        });
        let due = self
            .due(now)
            .map(|end| of("certificate_due", due(id, end, now)));
        let also = self.certificate.as_ref().and_then(|own| own.also.as_ref());
        let shared = also.map(|also| of("certificate_shared", shared(id, also)));
        [failing, due, shared].into_iter().flatten().collect()
    }

    /// When its certificate ends, if that is soon; one that has ended makes it fail.
    pub(super) fn due(&self, now: Moment) -> Option<Moment> {
        let end = self.certificate.as_ref()?.not_after;
        (0..DUE_DAYS).contains(&end.days_after(now)).then_some(end)
    }
}

/// Of a certificate that ends soon.
pub(super) fn due(id: &str, end: Moment, now: Moment) -> String {
    let left = match end.days_after(now) {
        0 => "less than a day".to_owned(),
        1 => "a day".to_owned(),
        days => format!("{days} days"),
    };
    format!(
        "the certificate of {id} ends in {left}, at {end}: from then on every call to it fails. \
         `snihub pki renew {id}`, and its files to the party's machine"
    )
}

/// Of a certificate that is good for others, too.
pub(super) fn shared(id: &str, also: &Also) -> String {
    let others: Vec<&str> = also.routes.iter().map(|id| &**id).take(NAMED).collect();
    let more = also.many - others.len();
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "the certificate of {id} is good for {}{more}, too (by its name {}): an HTTP/2 client that is \
         connected to {id} sends there what is for the others (RFC 9113 section 9.1.1). Give each \
         party a certificate with its own names alone",
        others.join(", "),
        also.by
    )
}

/// One line of a bounded length.
pub(super) fn cause(text: &str) -> String {
    text.chars().take(CAUSE).flat_map(escape).collect()
}

/// Of one that was not reached in time.
pub(super) fn silent(target: &Target, within: Duration) -> String {
    format!(
        "{target} does not answer within {} s: a firewall drops the packets, or the host is down",
        within.as_secs_f64()
    )
}

/// Of a certificate that a client refuses.
pub(super) fn fault(fault: &Fault, name: &ServerName, own: Option<&Certificate>) -> String {
    let name = name.as_str();
    match fault {
        Fault::Unreadable(why) => format!("its certificate cannot be read: {why}"),
        Fault::OldVersion(version) => {
            format!("its certificate is X.509 v{version}, which has no names in it")
        }
        Fault::Ended(end) => format!("its certificate is over since {end}"),
        Fault::NotYet(begin) => format!(
            "its certificate begins only at {begin}: a clock is wrong, here or where it was made"
        ),
        Fault::OtherNames => match own.map(|own| own.names.as_slice()) {
            None | Some([]) => format!("its certificate has no name in it, so not {name}"),
            Some(names) => {
                let some: Vec<&str> = names.iter().map(String::as_str).take(NAMED).collect();
                let more = if names.len() > NAMED { ", ..." } else { "" };
                format!(
                    "its certificate is for {}{more}, not for {name}",
                    some.join(", ")
                )
            }
        },
        Fault::UnknownIssuer => "its certificate is signed by nobody who is trusted".to_owned(),
        Fault::OtherKey => {
            "its certificate is signed by an authority that is called as one that is \
                            trusted, and is another"
                .to_owned()
        }
        Fault::SelfSigned => {
            "its certificate is signed by itself, and it is not trusted".to_owned()
        }
        Fault::OfAuthority => "its certificate is an authority's, not a server's".to_owned(),
        Fault::NotForServers => "its certificate is not for servers".to_owned(),
        Fault::ChainEnded => "a certificate above its own is over".to_owned(),
        Fault::KeyNotProven(why) => {
            format!("it does not prove that the certificate is its own: {why}")
        }
        Fault::Other(why) => format!("its certificate is no good: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_bounded_and_moves_no_cursor() {
        let said = cause(&format!("\x1b[2J\n{}", "é".repeat(1_000)));
        assert!(said.starts_with("\\u{1b}[2J\\u{a}é"), "{said}");
        assert_eq!(said.matches('é').count(), CAUSE - 5);
    }
}
