//! What is wrong with a party, and which line to change.
//!
//! Two places to stand. On the hub's machine ([`HubSide`]) sni.yaml, the authority and the running
//! hub say what should be, and each party is asked directly and through the hub. On a party's machine
//! ([`PartySide`]) there is the hub's address and the broker's own settings, and names are asked
//! through the hub. Either way [`crate::probe`] asks, and what it found becomes [`Finding`]s here:
//! values, which the command line prints.

mod advertised;
mod certificate;
mod finding;
mod hub;
mod hub_side;
mod instead;
mod issued;
mod leg;
mod named_files;
mod party_side;
mod properties;
mod pulsar;
mod reach;
mod route_table;
mod settings;

pub use finding::{Finding, Report, Section, Severity};
pub use hub::{Heard, written_door};
pub use hub_side::{HubSide, Unheard};
pub use issued::Issued;
pub use party_side::PartySide;
pub use properties::MOST_BYTES as MOST_SETTINGS_BYTES;

use crate::net::{Fence, Host, Target};
use crate::party::{Hub, Party, PartyError};
use crate::pki::Layout;
use crate::probe::{Answer, Identity, NoTls, Prober, Question, Trust};
use crate::tls::{LooksLike, ServerName};
use std::time::{Duration, SystemTime};

/// A name that no party has (RFC 6761 section 6.4), to see what answers whatever is asked for.
const NOBODY: &str = "nobody.invalid";

/// How to ask.
#[derive(Debug, Clone)]
pub struct Doctor {
    /// Asks.
    pub prober: Prober,
    /// Whose certificates count; `None`: nobody said.
    pub trust: Option<Trust>,
    /// What is shown to who asks for a certificate.
    pub identity: Option<Identity>,
    /// For each stage: name and connection, TLS, CONNECT.
    pub patience: Duration,
}

impl Doctor {
    /// One question. `thorough`: not through a hub.
    async fn ask(
        &self,
        party: &Party,
        to: &Target,
        layout: Layout,
        thorough: bool,
    ) -> Option<Answer> {
        // What is no server name was told with the configuration.
        let name = ServerName::parse(party.name.as_bytes()).ok()?;
        let pulsar = layout == Layout::Pulsar;
        let question = Question {
            target: to,
            name: &name,
            trust: self.trust.as_ref(),
            identity: self.identity.as_ref(),
            // gRPC is HTTP/2, and its servers insist on being asked for it.
            alpn: if pulsar { &[] } else { &["h2"] },
            pulsar,
            thorough,
            now: SystemTime::now(),
            patience: self.patience,
        };
        Some(self.prober.ask(&question).await)
    }

    /// As a party asks a hub; and what speaks there, if that is no hub but something without TLS, which
    /// answers whatever name is asked for.
    async fn ask_by(
        &self,
        hub: &Target,
        party: &Party,
        layout: Layout,
    ) -> Option<(Answer, Option<LooksLike>)> {
        let answer = self.ask(party, hub, layout, false).await?;
        let mut no_hub = None;
        if without_tls(&answer).is_some()
            && let Ok(nobody) = Party::new(NOBODY, None)
        {
            let other = self.ask(&nobody, hub, layout, false).await;
            no_hub = other.as_ref().and_then(without_tls);
        }
        Some((answer, no_hub))
    }
}

/// What came that is no TLS.
fn without_tls(answer: &Answer) -> Option<LooksLike> {
    match answer.tls {
        Some(Err(NoTls::NotTls(looks))) => Some(looks),
        _ => None,
    }
}

/// A hub's address as somewhere to dial.
///
/// # Errors
/// [`PartyError::Usage`].
pub fn hub_target(text: &str) -> Result<Target, PartyError> {
    let Hub { host, port } = Hub::parse(text)?;
    let host = match host.parse() {
        Ok(ip) => Host::Ip(ip),
        Err(_) => Host::Name(host.into()),
    };
    Ok(Target {
        host,
        port,
        fence: Fence::Open,
    })
}
