//! Which tunnels are fat right now: two of them are not to share a core while another one idles.
//!
//! How the kernel spreads connections says nothing of their weight, and links get fat long after
//! they were opened. So each worker counts its fat tunnels per coarse tick; one with clearly more
//! of them than another lets one go to it, each tick, until they are even.

use std::cell::Cell;

/// Bytes within a tick of 250 ms that make a tunnel fat: 16 MiB/s. Below, a core does not feel it.
const FAT: u64 = 4 * 1024 * 1024;

/// One worker's count.
#[derive(Debug, Default)]
pub(super) struct Load {
    tick: Cell<u64>,
    /// So far in this tick, and in the whole one before.
    fat: Cell<usize>,
    fat_before: Cell<usize>,
    wanted: Cell<bool>,
}

/// One tunnel's share of the current tick.
#[derive(Debug, Default)]
pub(super) struct Weight {
    tick: u64,
    bytes: u64,
}

impl Load {
    /// A new tick begins.
    pub(super) fn tick(&self) {
        self.tick.set(self.tick.get() + 1);
        self.fat_before.set(self.fat.replace(0));
        self.wanted.set(false);
    }

    /// How many tunnels were fat in the last whole tick.
    pub(super) fn fat(&self) -> usize {
        self.fat_before.get()
    }

    /// Another worker has clearly fewer: one may go, in this tick.
    pub(super) fn want_elsewhere(&self) {
        self.wanted.set(true);
    }

    /// Counts `bytes` that a tunnel moved.
    pub(super) fn weigh(&self, weight: &mut Weight, bytes: u64) {
        if weight.tick != self.tick.get() {
            *weight = Weight {
                tick: self.tick.get(),
                bytes: 0,
            };
        }
        let was_fat = weight.bytes >= FAT;
        weight.bytes += bytes;
        if !was_fat && weight.bytes >= FAT {
            self.fat.set(self.fat.get() + 1);
        }
    }

    /// Whether this tunnel is the one that goes; asked once with success.
    pub(super) fn lets_go(&self, weight: &Weight) -> bool {
        let goes = self.wanted.get() && weight.tick == self.tick.get() && weight.bytes >= FAT;
        if goes {
            self.wanted.set(false);
            self.fat.set(self.fat.get() - 1);
        }
        goes
    }

    /// A fat tunnel has come: it counts from now on.
    pub(super) fn arrived(&self) -> Weight {
        self.fat.set(self.fat.get() + 1);
        Weight {
            tick: self.tick.get(),
            bytes: FAT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_fat_once_a_tick_and_one_of_them_goes() {
        let load = Load::default();
        let mut tunnels = [(); 3].map(|()| Weight::default());
        let flood = |tunnels: &mut [Weight]| {
            for _ in 0..10 {
                tunnels.iter_mut().for_each(|t| load.weigh(t, FAT / 4));
            }
        };
        flood(&mut tunnels[..2]);
        assert_eq!(load.fat(), 0, "the tick is not over");
        load.tick();
        assert_eq!(load.fat(), 2);
        load.want_elsewhere();
        assert!(
            !load.lets_go(&tunnels[0]),
            "fat in the last tick, not yet in this one"
        );
        flood(&mut tunnels[1..2]);
        assert!(!load.lets_go(&tunnels[2]), "it moves nothing");
        assert!(load.lets_go(&tunnels[1]));
        assert!(!load.lets_go(&tunnels[1]), "one a tick");
        load.tick();
        assert_eq!(load.fat(), 0, "the one that was fat is gone");
        load.arrived();
        load.tick();
        assert_eq!(load.fat(), 1);
    }
}
