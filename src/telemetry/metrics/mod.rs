//! `/metrics`: the counters in Prometheus' text exposition, read where the workers write them; no
//! worker is asked.

mod families;
mod links;
mod upstreams;

pub use links::{FRESH, LinkSum, State, sums};
pub use upstreams::{Upstream, Upstreams};

use super::counters::{Counters, RELAYS, Totals};
use super::log::LOGS;
use super::process;
use super::reloads::{LastReload, ReloadResult, Reloaded};
use crate::meter::{Counter, Distribution, Histogram};
use crate::net::DialError;
use crate::refusal::Refusal;
use crate::tunnel::{Ended, Fallback, SpliceMode};
use families::{Families, Labels, one};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Prometheus' text exposition.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// What the counters do not know.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// Connections of any state.
    pub sessions: usize,
    /// How many may be at once.
    pub most_tunnels: usize,
    /// Tunnels that processes before this one still hold.
    pub draining: u64,
    /// How many such processes there are.
    pub predecessors: usize,
    /// Of these, connections whose hello is not whole.
    pub pending_hellos: usize,
    /// Of these, connections whose upstream is being dialled.
    pub pending_dials: usize,
    /// Bytes held for hellos that are not whole.
    pub hello_bytes: usize,
    /// Threads that move bytes.
    pub workers: usize,
    /// Entries of sni.yaml.
    pub routes: usize,
    /// Counts reloads; the first is 1.
    pub generation: u64,
    /// Whether new clients are taken.
    pub ready: bool,
    /// What became of the reloads.
    pub reloaded: Reloaded,
    /// What the probes found.
    pub upstreams: Upstreams,
}

/// The text of `/metrics`. `links`: who talks to whom, too.
pub fn exposition(counters: &[Arc<Counters>], vitals: Vitals, links: bool) -> String {
    // Before what it is made of by party and route: who is counted there was counted here before.
    let totals = Totals::of(counters.iter().map(AsRef::as_ref));
    let page = Page {
        counters,
        totals,
        vitals,
    };
    let mut families = Families::default();
    page.sessions(&mut families);
    page.outcomes(&mut families);
    page.relay(&mut families);
    page.memory(&mut families);
    page.times(&mut families);
    page.configuration(&mut families);
    upstreams::upstreams(&page.vitals.upstreams, links, &mut families);
    if links {
        links::who_talks_to_whom(counters, &mut families);
    }
    for (name, help, grows, value) in process::figures() {
        families.add(name, help, grows, value);
    }
    families.counter(
        "snihub_log_lines_lost_total",
        "Lines that were not written: their queue was full, or the file of access_log was",
        page.by("log", LOGS, |c, n| &c.lost_lines[n]),
    );
    families.0
}

/// All that is told.
struct Page<'a> {
    counters: &'a [Arc<Counters>],
    /// Read once, so that no two series disagree.
    totals: Totals,
    vitals: Vitals,
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

impl Page<'_> {
    fn sum(&self, of: impl Fn(&Counters) -> &Counter) -> u64 {
        self.counters.iter().map(|one| of(one).get()).sum()
    }

    fn distribution(&self, of: impl Fn(&Counters) -> &Histogram) -> Distribution {
        let mut sum = Distribution::default();
        self.counters
            .iter()
            .for_each(|one| of(one).add_to(&mut sum));
        sum
    }

    /// One series for each label of a closed set.
    fn by<'a>(
        &self,
        name: &'static str,
        labels: impl IntoIterator<Item = &'a str>,
        of: impl Fn(&Counters, usize) -> &Counter,
    ) -> Vec<(Labels<'a>, u64)> {
        let series = labels.into_iter().enumerate();
        series
            .map(|(place, label)| (vec![(name, label)], self.sum(|one| of(one, place))))
            .collect()
    }

    fn sessions(&self, f: &mut Families) {
        let (totals, v) = (&self.totals, &self.vitals);
        for (name, help, n) in [
            ("sessions", "Connections of any state", v.sessions),
            (
                "sessions_max",
                "Connections that may be at once",
                v.most_tunnels,
            ),
            (
                "pending_hellos",
                "Connections whose ClientHello is not whole",
                v.pending_hellos,
            ),
            (
                "pending_dials",
                "Connections whose upstream is being dialled",
                v.pending_dials,
            ),
            ("tunnels_open", "Tunnels that stand", totals.open() as usize),
            (
                "tunnels_draining",
                "Of these, tunnels that processes before this one hold, after an upgrade",
                v.draining as usize,
            ),
            (
                "predecessors",
                "Processes before this one that still hold tunnels",
                v.predecessors,
            ),
        ] {
            f.gauge(&format!("snihub_{name}"), help, one(n as f64));
        }
        for (name, help, n) in [
            ("accepted", "Connections accepted", totals.accepted),
            (
                "accept_pauses",
                "Times that accepting paused for want of descriptors or memory",
                self.sum(|c| &c.accept_pauses),
            ),
            ("tunnels_opened", "Tunnels that stood", totals.opened),
            (
                "tunnels_moved",
                "Tunnels that went to a worker with less traffic",
                self.sum(|c| &c.moved),
            ),
            (
                "aborted",
                "Sessions that a shutdown, an operator or a bug ended before they came to anything",
                totals.aborted,
            ),
            (
                "wake_ups",
                "Times a tunnel was woken",
                self.sum(|c| &c.tunnels.wake_ups),
            ),
            (
                "empty_wake_ups",
                "Times a tunnel was woken and moved no byte",
                self.sum(|c| &c.tunnels.empty_wake_ups),
            ),
        ] {
            f.counter(&format!("snihub_{name}_total"), help, one(n));
        }
    }

    /// How sessions ended.
    fn outcomes(&self, f: &mut Families) {
        f.counter(
            "snihub_tunnels_ended_total",
            "Tunnels that ended, by reason",
            labelled(Ended::ALL.map(Ended::label), self.totals.ended),
        );
        f.counter(
            "snihub_refused_total",
            "Clients declined, by reason; client_left: they left first",
            self.by("reason", Refusal::LABELS, |c, n| &c.refused[n]),
        );
        f.counter(
            "snihub_dial_errors_total",
            "Upstreams that could not be had, by reason",
            self.by("reason", DialError::LABELS, |c, n| &c.dial_failed[n]),
        );
        f.counter(
            "snihub_tunnels_ended_by_relay_total",
            "Tunnels that ended; splice: it carried at least a part",
            self.by("relay", RELAYS, |c, n| &c.ended_by_relay[n]),
        );
    }

    /// What carries bytes, and why.
    fn relay(&self, f: &mut Families) {
        let totals = &self.totals;
        let (there, back) = (totals.client_to_upstream, totals.upstream_to_client);
        f.counter(
            "snihub_bytes_total",
            "Bytes passed on, as they go",
            directions(there, back),
        );
        f.counter(
            "snihub_relayed_bytes_total",
            "Bytes passed on, by what carried them",
            [
                (vec![("relay", RELAYS[0])], self.sum(|c| &c.tunnels.copied)),
                (vec![("relay", RELAYS[1])], self.sum(|c| &c.tunnels.spliced)),
            ],
        );
        f.counter(
            "snihub_splice_fallbacks_total",
            "Times bulk was copied although it should have been spliced, by reason",
            self.by("reason", Fallback::ALL.map(Fallback::label), |c, n| {
                &c.tunnels.fallbacks[n]
            }),
        );
        f.gauge(
            "snihub_workers",
            "Workers, by how they carry bulk and why",
            self.modes(),
        );
    }

    fn memory(&self, f: &mut Families) {
        let lent = self.sum(|c| &c.tunnels.pipes_lent);
        let spare = self.sum(|c| &c.tunnels.pipes_spare);
        f.gauge(
            "snihub_pipes",
            "Open pipes: in use by a tunnel, or spare",
            [
                (vec![("state", "in_use")], lent as f64),
                (vec![("state", "spare")], spare as f64),
            ],
        );
        let memory = |what, bytes| (vec![("what", what)], bytes);
        f.gauge(
            "snihub_memory_bytes",
            "Memory held for bytes on their way; pipes: what those in use hold at most",
            [
                memory("pipes", self.sum(|c| &c.tunnels.pipe_bytes) as f64),
                memory("slabs", self.sum(|c| &c.tunnels.slab_bytes) as f64),
                memory("hellos", self.vitals.hello_bytes as f64),
            ],
        );
    }

    /// How many workers splice, and why others do not.
    fn modes(&self) -> Vec<(Labels<'static>, f64)> {
        let mut modes = BTreeMap::new();
        for counters in self.counters {
            let mode = match counters.tunnels.splice_mode() {
                Some(SpliceMode::Splice) => (RELAYS[1], ""),
                Some(SpliceMode::Copy(why)) => (RELAYS[0], why),
                None => continue,
            };
            *modes.entry(mode).or_insert(0.0) += 1.0;
        }
        modes
            .into_iter()
            .map(|((relay, why), n)| (vec![("relay", relay), ("why", why)], n))
            .collect()
    }

    fn times(&self, f: &mut Families) {
        f.histogram(
            "snihub_hello_seconds",
            "From accept to the whole ClientHello",
            &self.distribution(|c| &c.hello),
        );
        f.histogram(
            "snihub_dial_seconds",
            "Resolving and connecting, of dials that succeeded",
            &self.distribution(|c| &c.dial),
        );
        f.histogram(
            "snihub_first_byte_seconds",
            "From a tunnel that stands to the first byte from its upstream",
            &self.distribution(|c| &c.tunnels.first_byte),
        );
    }

    fn configuration(&self, f: &mut Families) {
        let (v, reloaded) = (&self.vitals, &self.vitals.reloaded);
        let refused = |last: &LastReload| last.result == ReloadResult::Refused;
        let well = !reloaded.last.as_ref().is_some_and(refused);
        for (name, help, n) in [
            (
                "ready",
                "1: routes are loaded and new clients are taken",
                f64::from(v.ready),
            ),
            ("workers_running", "Worker threads", v.workers as f64),
            ("routes", "Entries of sni.yaml", v.routes as f64),
            (
                "config_generation",
                "Configurations that were in force since the start",
                v.generation as f64,
            ),
            (
                "last_reload_successful",
                "0: the files on disk were refused, an older configuration is in force",
                f64::from(well),
            ),
        ] {
            f.gauge(&format!("snihub_{name}"), help, one(n));
        }
        let hash = format!("{:016x}", reloaded.hash);
        for (name, help, label, value) in [
            (
                "build",
                "The version that runs",
                "version",
                env!("CARGO_PKG_VERSION"),
            ),
            (
                "config",
                "Of the contents of the files in force",
                "hash",
                &hash,
            ),
        ] {
            f.gauge(
                &format!("snihub_{name}_info"),
                help,
                [(vec![(label, value)], 1.0)],
            );
        }
        let results = ReloadResult::ALL.map(|result| {
            let labels = vec![("result", result.label())];
            (labels, reloaded.results[result as usize])
        });
        f.counter(
            "snihub_reloads_total",
            "Reloads, by what they came to",
            results,
        );
        if let Some(last) = &reloaded.last {
            f.gauge(
                "snihub_last_reload_timestamp_seconds",
                "When the last reload was over",
                one(seconds(last.at)),
            );
            f.gauge(
                "snihub_last_reload_duration_seconds",
                "How long the last reload took",
                one(last.took.as_secs_f64()),
            );
        }
    }
}

const DIRECTIONS: [&str; 2] = ["client_to_upstream", "upstream_to_client"];

fn directions(there: u64, back: u64) -> impl Iterator<Item = (Labels<'static>, u64)> {
    let values = DIRECTIONS.into_iter().zip([there, back]);
    values.map(|(direction, n)| (vec![("direction", direction)], n))
}

/// One series for each reason.
fn labelled<const N: usize>(
    reasons: [&'static str; N],
    counts: [u64; N],
) -> impl Iterator<Item = (Labels<'static>, u64)> {
    let values = reasons.into_iter().zip(counts);
    values.map(|(reason, n)| (vec![("reason", reason)], n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spliced_while_it_is_read_takes_nothing_off_what_was_copied() {
        let counters = Arc::<Counters>::default();
        let flow = &counters.tunnels.flow;
        flow.client_to_upstream.add(12);
        // Of a wake-up whose bytes were not there yet when the totals were read.
        counters.tunnels.spliced.add(10);
        counters.tunnels.copied.add(5);
        let page = exposition(&[counters], Vitals::default(), false);
        for line in [
            "snihub_relayed_bytes_total{relay=\"copy\"} 5",
            "snihub_relayed_bytes_total{relay=\"splice\"} 10",
        ] {
            assert!(page.lines().any(|seen| seen == line), "{line} in {page}");
        }
    }
}
