//! What a whole process has counted, on its way to the process that comes after it.
//!
//! Kept by name and label: another version may have more of them, or fewer. What this one does not
//! know is let go.

use super::counters::{Counters, RELAYS};
use super::links::{Pair, Pairs};
use super::log::LOGS;
use super::metrics::{LinkSum, sums};
use crate::meter::{Counter, Distribution, Histogram};
use crate::net::DialError;
use crate::refusal::Refusal;
use crate::tunnel::{Ended, Fallback};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The counts of some [`Counters`], added up at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// What only grows.
    counts: BTreeMap<String, u64>,
    /// What goes down, too.
    levels: BTreeMap<String, u64>,
    /// Of each bucket, and the sum in microseconds.
    times: BTreeMap<String, (Vec<u64>, u64)>,
    /// Party, route, counts.
    links: Vec<(Option<Arc<str>>, Arc<str>, LinkSum)>,
}

impl Image {
    /// Of these, added up.
    pub fn of(all: &[Arc<Counters>]) -> Image {
        let mut image = Image::default();
        // As everywhere, ends before openings: no more seem to have ended than were opened.
        for link in sums(all) {
            let (Pair { party, route }, sum) = link;
            image.links.push((party, route, sum));
        }
        for one in all {
            for (name, counter) in counts(one) {
                *image.counts.entry(name).or_default() += counter.get();
            }
            for (name, counter) in levels(one) {
                *image.levels.entry(name.into()).or_default() += counter.get();
            }
        }
        for (place, (name, _)) in times(&Counters::default()).into_iter().enumerate() {
            let mut sum = Distribution::default();
            all.iter()
                .for_each(|one| times(one)[place].1.add_to(&mut sum));
            image
                .times
                .insert(name.into(), (sum.counts.to_vec(), sum.sum_us));
        }
        image
    }

    /// Puts the counts into `counters`, which nobody else writes. `pairs`: which links are counted
    /// on their own.
    pub fn write_to(&self, counters: &Counters, pairs: &Pairs) {
        let get = |map: &BTreeMap<String, u64>, name: &str| map.get(name).copied().unwrap_or(0);
        // Openings first: whoever reads meanwhile begins with the ends.
        for (name, counter) in counts(counters).into_iter().rev() {
            counter.set(get(&self.counts, &name));
        }
        for (name, counter) in levels(counters) {
            counter.set(get(&self.levels, name));
        }
        for (name, histogram) in times(counters) {
            let mut sum = Distribution::default();
            // Buckets with other bounds say nothing here.
            if let Some((buckets, sum_us)) = self.times.get(name)
                && let Ok(buckets) = buckets[..].try_into()
            {
                (sum.counts, sum.sum_us) = (buckets, *sum_us);
            }
            histogram.set(&sum);
        }
        let mut links = HashMap::<Pair, LinkSum>::new();
        for (party, route, sum) in &self.links {
            let (party, route) = (party.clone(), Arc::clone(route));
            let pair = pairs.admit(Pair { party, route });
            links.entry(pair).or_default().add(sum);
        }
        counters.set_links(&links);
    }

    /// Nothing of it goes on: what stood has been cut, and what was held is free.
    pub fn cut(mut self) -> Image {
        self.levels.clear();
        let ends: u64 = ended_names()
            .filter_map(|name| self.counts.get(&name))
            .sum();
        let open = self.opened().saturating_sub(ends);
        *self.counts.entry(ended(Ended::Killed)).or_default() += open;
        *self.counts.entry(by_relay(RELAYS[0])).or_default() += open;
        for (.., sum) in &mut self.links {
            sum.ended = sum.ended.max(sum.opened);
        }
        self
    }

    fn opened(&self) -> u64 {
        self.counts.get("opened").copied().unwrap_or(0)
    }
}

fn ended(ended: Ended) -> String {
    format!("ended {}", ended.label())
}

fn ended_names() -> impl Iterator<Item = String> {
    Ended::ALL.into_iter().map(ended)
}

fn by_relay(relay: &str) -> String {
    format!("ended_by_relay {relay}")
}

fn lost(log: &str) -> String {
    format!("lost_lines {log}")
}

/// All that only grows, by name; the ends before the openings.
fn counts(of: &Counters) -> Vec<(String, &Counter)> {
    let mut all: Vec<_> = ended_names().zip(&of.ended).collect();
    all.extend(RELAYS.into_iter().map(by_relay).zip(&of.ended_by_relay));
    all.extend(LOGS.into_iter().map(lost).zip(&of.lost_lines));
    let labelled = |what: &'static str, labels: &[&str]| {
        let names = labels.iter().map(|label| format!("{what} {label}"));
        names.collect::<Vec<_>>()
    };
    let fallbacks = Fallback::ALL.map(Fallback::label);
    all.extend(
        labelled("refused", &Refusal::LABELS)
            .into_iter()
            .zip(&of.refused),
    );
    all.extend(
        labelled("dial_failed", &DialError::LABELS)
            .into_iter()
            .zip(&of.dial_failed),
    );
    all.extend(
        labelled("fallbacks", &fallbacks)
            .into_iter()
            .zip(&of.tunnels.fallbacks),
    );
    let flow = &of.tunnels.flow;
    let plain = [
        ("moved", &of.moved),
        ("aborted", &of.aborted),
        ("accept_pauses", &of.accept_pauses),
        ("empty_wake_ups", &of.tunnels.empty_wake_ups),
        ("wake_ups", &of.tunnels.wake_ups),
        ("spliced", &of.tunnels.spliced),
        ("copied", &of.tunnels.copied),
        ("client_to_upstream", &flow.client_to_upstream),
        ("upstream_to_client", &flow.upstream_to_client),
        ("opened", &of.opened),
        ("accepted", &of.accepted),
    ];
    all.extend(plain.map(|(name, counter)| (name.to_owned(), counter)));
    all
}

fn levels(of: &Counters) -> [(&'static str, &Counter); 4] {
    [
        ("pipes_lent", &of.tunnels.pipes_lent),
        ("pipe_bytes", &of.tunnels.pipe_bytes),
        ("pipes_spare", &of.tunnels.pipes_spare),
        ("slab_bytes", &of.tunnels.slab_bytes),
    ]
}

fn times(of: &Counters) -> [(&'static str, &Histogram); 3] {
    [
        ("hello", &of.hello),
        ("dial", &of.dial),
        ("first_byte", &of.tunnels.first_byte),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Vitals, exposition};
    use crate::telemetry::{Ledger, Totals};
    use std::time::Duration;

    /// Every counter has a number of its own.
    fn counted() -> Arc<Counters> {
        let counters = Arc::<Counters>::default();
        let ledger = Ledger::new(Arc::clone(&counters), Arc::new(Pairs::new(10)));
        for (n, (_, counter)) in (1..).zip(counts(&counters)) {
            counter.add(n);
        }
        counters.opened.add(1_000);
        for (n, (_, counter)) in (100..).zip(levels(&counters)) {
            counter.set(n);
        }
        for (n, (_, histogram)) in (1..).zip(times(&counters)) {
            histogram.observe(Duration::from_millis(n));
        }
        let party = Arc::from("p");
        let link = ledger.link(Some(&party), &Arc::from("a"));
        link.opened.add(7);
        link.ended.add(3);
        link.flow.client_to_upstream.add(9);
        counters
    }

    fn page(counters: &Arc<Counters>) -> String {
        let all = exposition(&[Arc::clone(counters)], Vitals::default(), true);
        let of_hub = |line: &&str| line.starts_with("snihub_");
        all.lines().filter(of_hub).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_metrics_of_an_image_are_those_of_the_counters() {
        let counters = counted();
        let image = Image::of(&[Arc::clone(&counters)]);
        let wire = serde_json::to_string(&image).unwrap();
        let image: Image = serde_json::from_str(&wire).unwrap();
        let copy = Arc::<Counters>::default();
        image.write_to(&copy, &Pairs::new(10));
        // Again: it replaces, and adds nothing.
        image.write_to(&copy, &Pairs::new(10));
        assert_eq!(page(&copy), page(&counters));
        assert!(page(&copy).contains("snihub_link_bytes_total{party=\"p\",route=\"a\""));
        let twice = Image::of(&[Arc::clone(&counters), copy]);
        assert_eq!(twice.opened(), 2 * image.opened());
    }

    #[test]
    fn of_what_was_cut_nothing_stands() {
        let counters = counted();
        let before = Totals::of([&*counters]);
        assert!(before.open() > 0);
        let cut = Image::of(&[Arc::clone(&counters)]).cut();
        let copy = Arc::<Counters>::default();
        cut.write_to(&copy, &Pairs::new(10));
        let after = Totals::of([&*copy]);
        assert_eq!((after.open(), after.opened), (0, before.opened));
        assert_eq!(after.client_to_upstream, before.client_to_upstream);
        assert!(page(&copy).contains("snihub_link_tunnels_open{party=\"p\",route=\"a\"} 0"));
    }

    #[test]
    fn another_version_counts_other_things() {
        let wire = r#"{"counts":{"opened":3,"unheard of":5},"times":{"hello":[[1,2],9]},"new":1}"#;
        let image: Image = serde_json::from_str(wire).unwrap();
        let copy = Counters::default();
        image.write_to(&copy, &Pairs::new(1));
        assert_eq!(Totals::of([&copy]).opened, 3);
    }
}
