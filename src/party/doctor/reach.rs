//! Whether somebody is reached at all: name resolution and TCP.

use super::finding::{Finding, ms};
use super::leg::{Leg, Way};
use crate::net::{DialError, Host};
use crate::pki::Layout;
use crate::probe::Tcp;

pub(super) fn connected(leg: &Leg<'_>, tcp: &Tcp) -> Finding {
    let mut text = match &leg.target.host {
        Host::Ip(_) => String::new(),
        Host::Name(name) => {
            let (ip, took) = (tcp.address.ip(), ms(tcp.resolve_time));
            format!("{name} is {ip} ({took}); ")
        }
    };
    text += &format!("connected in {}", ms(tcp.connect_time));
    Finding::ok("tcp", text)
}

pub(super) fn not_connected(leg: &Leg<'_>, error: &DialError) -> Finding {
    let (target, id) = (leg.target, &leg.party.id);
    let seconds = leg.patience.as_secs_f64();
    let host = match &target.host {
        Host::Name(name) => name.to_string(),
        Host::Ip(ip) => ip.to_string(),
    };
    let (check, seen) = match error {
        DialError::Resolve(error) => ("resolve", error.to_string()),
        DialError::Refused(_) => (
            "tcp.refused",
            format!("{target} refuses connections: nobody listens on that port"),
        ),
        DialError::TimedOut(_) => (
            "tcp.silent",
            format!(
                "{target} does not answer within {seconds} s: a firewall, or a host that is down"
            ),
        ),
        error => ("tcp", error.to_string()),
    };
    let finding = Finding::error(check, seen);
    match (leg.way, check) {
        (Way::Hub, "resolve") => finding
            .why("without the hub's address nothing of the star is reached from here")
            .fix(format!("the line of `hosts` in the party's bundle belongs into /etc/hosts here: HUB_ADDRESS {host}")),
        (Way::Hub, _) if leg.at_hub => finding
            .why("who comes by this door reaches no party")
            .fix("if the hub listens elsewhere, say so: --via HOST:PORT; else `systemctl status snihub`"),
        (Way::Hub, _) => finding
            .why("without the hub no other party is reached from here")
            .fix(format!("let this machine out to {target}, and look at the hub: `snihub status` there")),
        (Way::Direct, _) if !leg.at_hub => finding
            .why("whoever calls this party ends there")
            .fix("is the broker running? brokerServicePortTls and bindAddress say where it listens, and its log why not"),
        (Way::Direct, "resolve") => finding
            .why("the hub resolves as this machine does: every call to this party fails")
            .fix(format!("`snihub party reroute {id} --route ADDRESS:PORT`, or a name that /etc/hosts or the DNS knows here")),
        (Way::Direct, "tcp.refused") if leg.layout != Layout::Pulsar => finding
            .why("every call to this party fails with TLS alert 80")
            .fix(format!(
                "does it run, with TLS on port {}? If it is elsewhere: `snihub party reroute {id} \
                 --route HOST:PORT`",
                target.port
            )),
        (Way::Direct, "tcp.refused") => finding
            .why("every call to this party fails with TLS alert 80")
            .fix(format!(
                "is the broker running, with `brokerServicePortTls={}`? If it is elsewhere: `snihub \
                 party reroute {id} --route HOST:PORT`", target.port
            )),
        (Way::Direct, _) => finding
            .why("the hub waits for dial_timeout and then answers with TLS alert 80")
            .fix(format!(
                "let this machine in to {target} in the party's firewall; if it moved: `snihub party \
                 reroute {id} --route HOST:PORT`"
            )),
    }
}
