//! One probe, and what it found.

use super::plan::Whom;
use super::words;
use crate::config::Settings;
use crate::net::{DialError, ProxyHeader, ResolveError};
use crate::pki::Certificate;
use crate::probe::{NoTls, Prober, Tls, Visit};
use crate::route::ProbeKind;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tracing::debug;

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For one address, where the entry does not say it.
    pub(super) per_address: Duration,
    /// For all.
    pub(super) within: Duration,
}

impl Patience {
    /// As hub.yaml has it.
    pub(super) fn of(settings: &Settings) -> Patience {
        Patience {
            per_address: settings.dial_timeout,
            within: settings.probe.timeout,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Found {
    /// See [`super::Health`].
    pub(super) failing: Option<String>,
    /// See [`super::Health`].
    pub(super) took: Duration,
    /// What it showed, if it can be read.
    pub(super) certificate: Option<Certificate>,
}

/// Asks as a client's connection would. `None`: this host could not ask, which says nothing of the
/// other.
pub(super) async fn ask(prober: &Prober, whom: &Whom, patience: Patience) -> Option<Found> {
    let began = Instant::now();
    let visit = Visit {
        target: &whom.target,
        name: (whom.kind == ProbeKind::Tls).then_some(&whom.name),
        header: whom.send_proxy.map(|version| ProxyHeader {
            version,
            endpoints: None,
        }),
        per_address: whom.dial.unwrap_or(patience.per_address),
        within: patience.within,
        now: SystemTime::now(),
    };
    let answer = prober.visit(&visit).await;
    let fails = |why: String| Found {
        failing: Some(words::cause(&why)),
        took: began.elapsed(),
        certificate: None,
    };
    let tcp = match answer.tcp {
        Ok(tcp) => tcp,
        Err(
            error @ (DialError::LocalLimit(_)
            | DialError::Resolve(ResolveError::Busy(_) | ResolveError::Stopped(_))),
        ) => {
            debug!(route = &*whom.id, "could not be asked: {error}");
            return None;
        }
        Err(DialError::TimedOut(_)) => {
            return Some(fails(words::silent(&whom.target, patience.within)));
        }
        Err(error) => return Some(fails(error.to_string())),
    };
    let connected = tcp.resolve_time + tcp.connect_time;
    Some(match answer.tls {
        None | Some(Err(NoTls::CertificateRequired)) => Found {
            failing: None,
            took: connected,
            certificate: None,
        },
        Some(Err(why)) => fails(format!("{}: {why}", whom.target)),
        Some(Ok(tls)) => shown(whom, connected, tls),
    })
}

/// Who has shaken hands may still be nobody whom a client takes for the one it asked for.
fn shown(whom: &Whom, connected: Duration, tls: Tls) -> Found {
    let own = tls.certificate.as_ref().ok();
    let faults = tls.faults.iter();
    let faults: Vec<String> = faults
        .map(|fault| words::fault(fault, &whom.name, own))
        .collect();
    Found {
        failing: (!faults.is_empty()).then(|| words::cause(&faults.join("; "))),
        took: connected + tls.took,
        certificate: tls.certificate.ok(),
    }
}
