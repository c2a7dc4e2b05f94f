//! What was counted: told on the doors, and handed to a successor.

use super::Control;
use super::predecessors::Family;
use crate::telemetry::{Counters, Declined, Image, Totals};
use crate::tunnel::SpliceMode;
use std::sync::{Arc, PoisonError};

impl Control {
    /// Has `tell` read all that was counted, by this process and those before it. It is to be told at
    /// once, and nothing else of this hub asked meanwhile.
    pub fn counted<T>(&self, tell: impl FnOnce(&[Arc<Counters>]) -> T) -> T {
        let bequeathed = self
            .bequeathed
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        match &*bequeathed {
            Some(counters) => tell(counters),
            None => {
                let family = self.predecessors.family();
                let mut all = self.own_counters(&family);
                all.extend(family.living.iter().map(|one| Arc::clone(&one.counters)));
                tell(&all)
            }
        }
    }

    /// Those of this process and of those before it that are gone.
    fn own_counters(&self, family: &Family) -> Vec<Arc<Counters>> {
        let mut own = self.counters.clone();
        own.extend([Arc::clone(&family.past), Counters::of_lost_lines()]);
        own
    }

    /// What this process has counted, and those before it that are gone.
    pub fn image(&self) -> Image {
        Image::of(&self.own_counters(&self.predecessors.family()))
    }

    /// The same for a successor, which begins with it. Whoever is inside the doors of this process yet
    /// is told no more than that from now on, whatever comes to be counted: the successor may not have
    /// heard of it, and no count is to fall. Only for a hub that hears of the processes before it no
    /// more.
    pub fn bequeath(&self) -> Image {
        // Waits for those who are being told.
        let mut bequeathed = self
            .bequeathed
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let family = self.predecessors.family();
        let image = Image::of(&self.own_counters(&family));
        let own = Arc::<Counters>::default();
        image.write_to(&own, &self.shared.pairs);
        let living = family.living.iter().map(|one| Arc::clone(&one.counters));
        *bequeathed = Some(std::iter::once(own).chain(living).collect());
        image
    }

    /// The latest clients that got no tunnel, oldest first.
    pub fn declined(&self) -> Vec<Declined> {
        let family = self.predecessors.family();
        let counters = self.counters.iter().chain(family.counters());
        let mut all: Vec<_> = counters.flat_map(|one| one.recent.all()).collect();
        all.sort_by_key(|declined| declined.at);
        all
    }

    /// The sum of all counters.
    pub fn totals(&self) -> Totals {
        self.counted(|counters| Totals::of(counters.iter().map(AsRef::as_ref)))
    }

    /// Why bytes are copied, where they are not spliced.
    pub fn copying(&self) -> Option<&'static str> {
        let mut modes = self.counters.iter().map(|one| one.tunnels.splice_mode());
        modes.find_map(|mode| match mode {
            Some(SpliceMode::Copy(why)) => Some(why),
            _ => None,
        })
    }
}
