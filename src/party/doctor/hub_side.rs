//! On the hub's machine: what should be is known, and each party is asked twice.

use super::Doctor;
use super::finding::{Finding, Report, Section, Severity, counted};
use super::hub::Heard;
use super::issued::{Issued, lacking};
use super::leg::{Leg, Routed, Way, judge, judge_by};
use crate::net::{Host, Target};
use crate::party::{Party, Routes};
use crate::pki::{Layout, Moment, SUCCESSION};
use crate::refusal::Refusal;
use crate::route::TargetTemplate;
use crate::tls::ServerName;
use std::collections::HashSet;

/// Why the hub that runs here was not heard.
#[derive(Debug, Clone)]
pub enum Unheard {
    /// None runs.
    NotRunning(String),
    /// One runs, and does not answer in time.
    Hangs(String),
    /// One may run, and does not say.
    Silent(String),
}

/// What is known there.
#[derive(Debug)]
pub struct HubSide<'h> {
    /// sni.yaml.
    pub routes: &'h Routes,
    /// What the authority has issued, if it is here.
    pub issued: Option<Issued<'h>>,
    /// Why the authority that is here cannot be read.
    pub unread: Option<String>,
    /// What the hub said.
    pub heard: Result<Heard, Unheard>,
    /// Where the hub is asked as a party asks it: the one that is named, else its first door.
    pub via: Option<Target>,
    /// Whether somebody named it.
    pub named: bool,
    /// What every party runs; `None`: what its certificate was made for.
    pub layout: Option<Layout>,
}

impl Routed for Routes {
    fn leads(&self, name: &str) -> Option<&str> {
        let target = self.takes(name)?.route.target()?;
        Some(target.as_str())
    }
}

impl HubSide<'_> {
    /// Every party that has an entry of its own and a target, in file order.
    pub fn parties(&self) -> Vec<Party> {
        let (mut parties, mut seen) = (Vec::new(), HashSet::new());
        let domain = self.issued.as_ref().and_then(Issued::domain);
        for row in self
            .routes
            .rows()
            .filter(|row| row.route.target().is_some())
        {
            if let Ok(party) = Party::new(row.route.pattern().as_str(), domain)
                && seen.insert(party.name.clone())
            {
                parties.push(party);
            }
        }
        parties
    }

    /// About the hub itself.
    pub fn hub(&self) -> Report {
        let mut findings = Vec::new();
        let warnings = self.routes.warnings().len();
        let file = self.routes.path.display();
        let count = self.routes.rows().count();
        let entries = counted(count as u64, "entry", "entries");
        findings.push(match (warnings, count) {
            (_, 0) => Finding::error("file", format!("{file}: no entry"))
                .why("the hub has nobody to lead to")
                .fix("`snihub party add PARTY --route HOST:6651`"),
            (0, 1..) => Finding::ok("file", format!("{file}: {entries}")),
            _ => Finding::warning(
                "file",
                format!(
                    "{file}: {entries}, {}",
                    counted(warnings as u64, "warning", "warnings")
                ),
            )
            .why("a line of it means something else than it seems to, or nothing")
            .fix("`snihub check` shows them"),
        });
        match &self.heard {
            Ok(heard) => findings.extend(heard.health()),
            Err(Unheard::NotRunning(text)) if !self.named => findings.push(
                Finding::error("hub.running", text.clone())
                    .why("no party reaches another")
                    .fix("`systemctl start snihub.socket snihub.service`, or `snihub run`; if it will not: `snihub check`"),
            ),
            Err(Unheard::Hangs(text)) => findings.push(
                Finding::error("hub.running", text.clone())
                    .why(
                        "as long as it hangs no party reaches another, and standing tunnels carry \
                         nothing",
                    )
                    .fix(
                        "`journalctl -u snihub` for its last words; `systemctl status snihub` says \
                         whether it is stopped; `systemctl restart snihub` ends the tunnels, which \
                         parties open again",
                    ),
            ),
            Err(Unheard::NotRunning(text) | Unheard::Silent(text)) => findings.push(
                Finding::note("hub.running", format!("its records are not looked at: {text}")),
            ),
        }
        if let Some(why) = &self.unread {
            let seen = format!("the authority here cannot be read: {why}");
            findings.push(
                Finding::note("authority", seen)
                    .why(
                        "what parties run (--layout) and which certificates they have is not known, nor \
                         whose count (--trust)",
                    )
                    .fix("run this as who may read it, or say another one with --ca DIR"),
            );
        }
        if self.via.is_none() && self.heard.is_ok() {
            findings.push(
                Finding::note(
                    "hub.door",
                    "not asked through the hub: each of its doors wants a PROXY header",
                )
                .fix("--via HUB:PORT, by way of what sends it that header"),
            );
        }
        Report::new("the hub", vec![Section::new("on this machine", findings)])
    }

    /// How a party does, asked directly: the worst of what is wrong, else that it answers.
    pub async fn health(
        &self,
        doctor: &Doctor,
        party: &Party,
        others: &[String],
    ) -> Option<Finding> {
        let (configuration, target) = self.configuration(party, self.routes.inbound_port());
        let mut findings = configuration;
        if let Some(target) = &target {
            let leg = self.leg(doctor, party, others, (Way::Direct, target));
            let answer = doctor.ask(party, target, leg.layout, true).await;
            findings.extend(answer.iter().flat_map(|answer| judge(&leg, answer)));
        }
        let worst = findings.iter().map(|finding| finding.severity).max()?;
        match worst {
            Severity::Ok | Severity::Note => findings.pop(),
            _ => findings.into_iter().find(|one| one.severity == worst),
        }
    }

    fn leg<'l>(
        &'l self,
        doctor: &Doctor,
        party: &'l Party,
        others: &'l [String],
        (way, target): (Way, &'l Target),
    ) -> Leg<'l> {
        Leg {
            way,
            party,
            target,
            patience: doctor.patience,
            direct: None,
            others,
            routed: Some(self.routes),
            at_hub: true,
            layout: self.layout_of(party),
            issued: self.issued.as_ref(),
            trusted: doctor.trust.is_some(),
        }
    }

    /// About one party. `others`: names of all, to know whose certificate one is.
    pub async fn party(&self, doctor: &Doctor, party: &Party, others: &[String]) -> Report {
        let port = self.via.as_ref().map(|via| via.port);
        let port = port.unwrap_or_else(|| self.routes.inbound_port());
        let (mut configuration, target) = self.configuration(party, port);
        let layout = self.layout_of(party);
        if self
            .issued
            .as_ref()
            .is_some_and(|issued| !issued.stands(party))
        {
            let route = target.as_ref().map(Target::to_string);
            let route = route.as_deref().unwrap_or("HOST:6651");
            let finding = lacking(party, route, layout);
            let now = Moment::now();
            let over = self
                .issued
                .as_ref()
                .is_some_and(|issued| issued.bounds(now));
            configuration.push(match over {
                true => finding.fix(format!("our authority is over: {SUCCESSION}")),
                false => finding,
            });
        }
        let mut sections = vec![Section::new("configuration", configuration)];
        let mut direct = None;
        if let Some(target) = &target {
            direct = doctor.ask(party, target, layout, true).await;
            let findings = direct.as_ref().map(|answer| {
                judge(
                    &self.leg(doctor, party, others, (Way::Direct, target)),
                    answer,
                )
            });
            sections.push(Section::new(
                format!("directly, {target}"),
                findings.unwrap_or_default(),
            ));
        }
        if let Some(via) = &self.via {
            let answer = doctor.ask_by(via, party, layout).await;
            let leg = Leg {
                direct: direct.as_ref(),
                ..self.leg(doctor, party, others, (Way::Hub, via))
            };
            let findings = answer.map(|(answer, no_hub)| judge_by(&leg, &answer, no_hub));
            sections.push(Section::new(
                format!("through the hub, {via}"),
                findings.unwrap_or_default(),
            ));
        }
        if let Ok(heard) = &self.heard {
            sections.push(Section::new(
                "the hub's records",
                heard.records(party, self.routes),
            ));
        }
        Report::new(&party.name, sections)
    }

    fn configuration(&self, party: &Party, port: u16) -> (Vec<Finding>, Option<Target>) {
        let (name, id) = (&party.name, &party.id);
        let file = self.routes.path.display();
        let add = format!("`snihub party add {id} --route HOST:6651`");
        let Ok(asked) = ServerName::parse(name.as_bytes()) else {
            return (
                vec![Finding::error("route", format!("{name} is no server name"))],
                None,
            );
        };
        let decided = self.routes.decide(&asked, port);
        let (route, line, verdict) = match decided {
            Some(decided) => decided,
            None => {
                let finding = Finding::error("route", format!("{file}: no entry takes {name}"))
                    .why("every call to this party ends at the hub, with TLS alert 112")
                    .fix(add);
                return (vec![finding], None);
            }
        };
        let pattern = route.pattern().as_str();
        let target = match verdict {
            Ok(target) => target,
            Err(refusal) => {
                let finding =
                    Finding::error("route", format!("{file}:{line}: {pattern}: {refusal}"))
                        .why("every call to this party ends at the hub")
                        .fix(match refusal {
                            Refusal::PortNotPermitted(port) => {
                                format!("connect_ports in hub.yaml has to hold {port}")
                            }
                            _ => format!("a tunnel_route in that entry, or {add} above it"),
                        });
                return (vec![finding], None);
            }
        };
        let mut findings = Vec::new();
        let allowed = route.ip_allow().map(|allowed| format!(", for {allowed}"));
        let seen = format!(
            "{file}:{line}: {pattern} -> {target}{}",
            allowed.unwrap_or_default()
        );
        findings.push(match self.routes.find(name) {
            Some(own) if own.line != line => Finding::warning("route.shadowed", seen)
                .why(format!(
                    "the party's own entry, line {}, is never asked",
                    own.line
                ))
                .fix(format!("move line {} above line {line}", own.line)),
            _ => Finding::ok("route", seen),
        });
        if let (Host::Ip(ip), false) = (
            &target.host,
            route.target().is_some_and(TargetTemplate::is_dynamic),
        ) && !target.fence.permits(*ip)
        {
            findings.push(Finding::error(
                "route",
                format!("{target} is an address that this route may not dial"),
            ));
        }
        if let (Ok(heard), Some(written)) = (&self.heard, route.target()) {
            findings.push(heard.route(party, &route.id, written.as_str()));
        }
        (findings, Some(target))
    }

    fn layout_of(&self, party: &Party) -> Layout {
        let issued = || self.issued.as_ref()?.layout(party);
        self.layout.or_else(issued).unwrap_or(Layout::Pulsar)
    }
}
