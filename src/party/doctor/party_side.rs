//! On a party's machine: the hub's address, the broker's own settings, and names to ask for.

use super::finding::{Finding, Report, Section, ms};
use super::leg::{Leg, Way, judge, judge_by};
use super::reach::not_connected;
use super::route_table::RouteTable;
use super::settings::{Own, Settings};
use super::{Doctor, NOBODY};
use crate::net::Target;
use crate::party::Party;
use crate::pki::Layout;
use crate::probe::{Answer, Trust};
use std::path::Path;

/// What is known there.
#[derive(Debug)]
pub struct PartySide<'p> {
    hub: Target,
    layout: Layout,
    settings: Option<(&'p Path, Settings<'p>)>,
    table: Option<RouteTable<'p>>,
    own: Own,
    party: Option<Party>,
}

impl<'p> PartySide<'p> {
    /// `settings`: the broker's file and its text. What its name should be and is not, is a finding.
    pub fn new(hub: Target, layout: Layout, settings: Option<(&'p Path, &str)>) -> PartySide<'p> {
        let settings = settings.map(|(file, text)| (file, Settings::parse(file, text)));
        let own = settings
            .as_ref()
            .map(|(_, settings)| settings.own())
            .unwrap_or_default();
        let party = own
            .name
            .as_deref()
            .and_then(|name| Party::new(name, None).ok());
        PartySide {
            hub,
            layout,
            settings,
            table: None,
            own,
            party,
        }
    }

    /// The same, and the party's route table for FATE: its file and text.
    pub fn with_route_table(mut self, file: &'p Path, text: &str) -> PartySide<'p> {
        self.table = Some(RouteTable::parse(file, text));
        self
    }

    /// The domain of the party here: other parties go by their number in it.
    pub fn domain(&self) -> Option<&str> {
        self.party.as_ref().map(|party| &*party.domain)
    }

    /// Whom its own broker trusts, if that can be read here.
    pub fn trust(&self) -> Option<Trust> {
        Trust::read(self.own.trust.as_ref()?).ok()
    }

    /// About the hub, the party here, and each of `others`, in this order.
    pub async fn examine(&self, doctor: &Doctor, others: &[Party]) -> Vec<Report> {
        let mut reports = vec![];
        let reached = doctor.prober.reach(&self.hub, doctor.patience).await;
        let mut findings = Vec::new();
        match &reached {
            Ok(tcp) => findings.push(Finding::ok(
                "tcp",
                format!(
                    "{} takes connections, in {}",
                    tcp.address,
                    ms(tcp.connect_time)
                ),
            )),
            Err(error) => {
                // The hub is no party's more than another's.
                if let Ok(nobody) = Party::new(NOBODY, None) {
                    let leg = self.leg(doctor, &nobody, &self.hub, Way::Hub);
                    findings.push(not_connected(&leg, error));
                }
            }
        }
        if self.party.is_none() && others.is_empty() {
            findings.push(
                Finding::note("names", "no party was asked for")
                    .fix("name them: `snihub doctor 10000.fate.org --via HUB`; --broker-conf tells this party's own"),
            );
        }
        reports.push(Report::new(
            format!("the hub, {}", self.hub),
            vec![Section::new("from here", findings)],
        ));
        if let Some(own) = self.here(doctor).await {
            reports.push(own);
        }
        if reached.is_err() {
            return reports;
        }
        let all = self.party.iter().chain(
            others
                .iter()
                .filter(|other| Some(*other) != self.party.as_ref()),
        );
        for party in all {
            reports.push(self.through(doctor, party).await);
        }
        reports
    }

    /// The party here: its settings, and its broker directly.
    async fn here(&self, doctor: &Doctor) -> Option<Report> {
        let (file, settings) = self.settings.as_ref()?;
        let mut sections = vec![Section::new(
            format!("settings, {}", file.display()),
            settings.judge(self.party.as_ref()),
        )];
        let judged = self.table.as_ref().map(|table| match &self.party {
            Some(party) => table.judge(party, &self.hub),
            None => vec![Finding::note(
                "route_table",
                "not looked at: the settings do not say whose it is",
            )],
        });
        sections.push(Section::new("route table", judged.unwrap_or_default()));
        if let (Some(party), Some(listens)) = (&self.party, &self.own.listens)
            && let Ok(target) = super::hub_target(listens)
            && let Some(answer) = doctor.ask(party, &target, self.layout, true).await
        {
            let leg = self.leg(doctor, party, &target, Way::Direct);
            sections.push(Section::new(
                format!("its broker, {target}"),
                judge(&leg, &answer),
            ));
        }
        Some(Report::new("this party", sections))
    }

    async fn through(&self, doctor: &Doctor, party: &Party) -> Report {
        let mut findings = Vec::new();
        if let Some((answer, no_hub)) = doctor.ask_by(&self.hub, party, self.layout).await {
            let leg = self.leg(doctor, party, &self.hub, Way::Hub);
            findings = judge_by(&leg, &answer, no_hub);
            if Some(party) == self.party.as_ref() {
                findings.extend(self.is_here(&answer));
            }
        }
        let section = Section::new(format!("through the hub, {}", self.hub), findings);
        Report::new(&party.name, vec![section])
    }

    /// Whether what the hub leads to is the broker of this machine.
    fn is_here(&self, answer: &Answer) -> Option<Finding> {
        let own = self.own.certificate.as_ref()?;
        let tls = answer.tls.as_ref()?.as_ref().ok()?;
        Some(match &tls.der == own {
            true => Finding::ok("hub.here", "the hub leads to this very broker"),
            false => Finding::error("hub.here", "another certificate than this broker's own: the hub leads elsewhere, or the broker has not been restarted since it was renewed")
                .why("callers of this party reach something else")
                .fix("on the hub's machine: `snihub doctor` for this party; here: restart the broker"),
        })
    }

    fn leg<'l>(&self, doctor: &Doctor, party: &'l Party, target: &'l Target, way: Way) -> Leg<'l> {
        Leg {
            way,
            party,
            target,
            patience: doctor.patience,
            direct: None,
            others: &[],
            routed: None,
            at_hub: false,
            trusted: doctor.trust.is_some(),
            layout: self.layout,
            issued: None,
        }
    }
}
