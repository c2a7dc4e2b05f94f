//! Who has been idle, half open or stalled for too long: a hashed wheel, visited by a coarse tick.
//!
//! A relay never touches the wheel: it writes a coarse time into its handle. A visit reads it, and
//! either ends the tunnel or comes again when it could be over at the earliest, in 5 s at most. So a
//! tunnel at rest costs a look at its handle every 5 s and no wake-up, one that moves bytes a
//! wake-up every 5 s, and a byte costs nothing.

use super::handle::Handle;
use super::transfer::{Ended, Limits};
use std::rc::Rc;
use std::time::Duration;

/// Width of a slot in ms.
const WIDTH: u64 = 250;
/// Slots: a span of 128 s, far beyond [`LOOK_AGAIN`].
const SLOTS: usize = 512;
/// Every tunnel is visited this often (ms). It is woken if there may be something that woke nobody:
/// while it is half open or stalled an RST, since neither direction waits for that socket; once after
/// bytes have moved more of them, behind an urgent mark.
const LOOK_AGAIN: u64 = 5_000;
const NONE: u32 = u32::MAX;

/// One worker's wheel. Entries and slots are lists over one vector: nothing is allocated for a
/// tunnel once as many have stood before.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Box<[u32]>,
    entries: Vec<Entry>,
    free: u32,
    /// The last slot number (not reduced) that was visited.
    at: u64,
}

/// A tunnel's place in the wheel, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

#[derive(Debug)]
struct Entry {
    tunnel: Option<(Rc<Handle>, Due)>,
    /// The slot it hangs in; `NONE`: in no slot.
    slot: u32,
    before: u32,
    next: u32,
}

/// Limits in ms; `u64::MAX`: none.
#[derive(Debug, Clone, Copy)]
struct Due {
    idle: u64,
    half_open: u64,
    write_stall: u64,
}

impl Due {
    fn new(limits: &Limits) -> Due {
        let ms = |limit: Option<Duration>| {
            limit.map_or(u64::MAX, |limit| {
                limit.as_millis().try_into().unwrap_or(u64::MAX)
            })
        };
        Due {
            idle: ms(limits.idle),
            half_open: ms(limits.half_open),
            write_stall: ms(limits.write_stall),
        }
    }

    /// Over (why), or the earliest time it could be.
    fn judge(&self, handle: &Handle, now: u64) -> Result<u64, Ended> {
        let stalled = handle.stalled.iter().filter_map(std::cell::Cell::get).min();
        let conditions = [
            (self.write_stall, stalled, Ended::WriteStalled),
            (self.half_open, handle.half_open.get(), Ended::HalfOpen),
            (self.idle, Some(handle.active.get()), Ended::Idle),
        ];
        let mut next = u64::MAX;
        for (limit, since, why) in conditions {
            let over = since.unwrap_or(now).saturating_add(limit);
            if over <= now && since.is_some() {
                return Err(why);
            }
            next = next.min(over);
        }
        Ok(next)
    }
}

impl Wheel {
    pub(super) fn new() -> Wheel {
        Wheel {
            heads: vec![NONE; SLOTS].into_boxed_slice(),
            entries: Vec::new(),
            free: NONE,
            at: 0,
        }
    }

    /// A new tunnel, at `now` ms.
    pub(super) fn add(&mut self, handle: &Rc<Handle>, limits: &Limits, now: u64) -> Place {
        let due = Due::new(limits);
        let entry = Entry {
            tunnel: Some((Rc::clone(handle), due)),
            slot: NONE,
            before: NONE,
            next: NONE,
        };
        let index = match self.free {
            NONE => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
            index => {
                self.free = self.entries[index as usize].next;
                self.entries[index as usize] = entry;
                index
            }
        };
        let next = now.saturating_add(due.idle.min(due.half_open).min(due.write_stall));
        self.hang(index, next.min(now + LOOK_AGAIN));
        Place(index)
    }

    /// The tunnel is over.
    pub(super) fn remove(&mut self, place: Place) {
        self.unhang(place.0);
        let entry = &mut self.entries[place.0 as usize];
        entry.tunnel = None;
        entry.next = self.free;
        self.free = place.0;
    }

    /// Visits what is due at `now` ms, and ends what is over.
    pub(super) fn turn(&mut self, now: u64) {
        let until = now / WIDTH;
        let from = (self.at + 1).max((until + 1).saturating_sub(SLOTS as u64));
        self.at = self.at.max(until);
        for slot in from..=until {
            let mut index =
                std::mem::replace(&mut self.heads[(slot % SLOTS as u64) as usize], NONE);
            while index != NONE {
                let entry = &mut self.entries[index as usize];
                let next = entry.next;
                (entry.slot, entry.before, entry.next) = (NONE, NONE, NONE);
                self.visit(index, now);
                index = next;
            }
        }
    }

    fn visit(&mut self, index: u32, now: u64) {
        let Some((handle, due)) = &self.entries[index as usize].tunnel else {
            return;
        };
        let unlooked = handle.is_unlooked();
        let next = match due.judge(handle, now) {
            // Not before it has looked.
            Err(Ended::Idle) if unlooked => now,
            Err(why) => return handle.end(why),
            Ok(next) => next,
        };
        if unlooked || handle.may_miss_an_error() {
            handle.look_again();
        }
        self.hang(index, next.min(now + LOOK_AGAIN));
    }

    /// Hangs an entry where it is visited at `when` ms or, if that is too far, on the way.
    fn hang(&mut self, index: u32, when: u64) {
        let latest = self.at + SLOTS as u64 - 1;
        let number = when.div_ceil(WIDTH).clamp(self.at + 1, latest);
        let slot = (number % SLOTS as u64) as u32;
        let next = std::mem::replace(&mut self.heads[slot as usize], index);
        if next != NONE {
            self.entries[next as usize].before = index;
        }
        let entry = &mut self.entries[index as usize];
        (entry.slot, entry.before, entry.next) = (slot, NONE, next);
    }

    fn unhang(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (slot, before, next) = (entry.slot, entry.before, entry.next);
        if slot == NONE {
            return;
        }
        match before {
            NONE => self.heads[slot as usize] = next,
            before => self.entries[before as usize].next = next,
        }
        if next != NONE {
            self.entries[next as usize].before = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(idle: u64) -> Limits {
        Limits {
            idle: Some(Duration::from_millis(idle)),
            ..Limits::default()
        }
    }

    /// Limits from far below a slot to far beyond the wheel's span, all at once; activity in the
    /// middle puts each off by exactly that.
    #[test]
    fn each_ends_after_its_limit_and_never_before() {
        for active_at in [0, 70_001] {
            let mut wheel = Wheel::new();
            let all: Vec<_> = [1, 249, 250, 251, 5_000, 127_999, 128_000, 300_000, 900_000]
                .into_iter()
                .filter(|limit| *limit > active_at)
                .map(|limit| (Handle::new(), limit))
                .collect();
            assert!(!all.is_empty());
            for (handle, limit) in &all {
                wheel.add(handle, &limits(*limit), 0);
            }
            for now in (0..=1_000_000).step_by(333) {
                if now >= active_at && now < active_at + 333 {
                    all.iter()
                        .for_each(|(handle, _)| handle.active.set(active_at));
                }
                wheel.turn(now);
                for (handle, limit) in &all {
                    let over = active_at + limit;
                    let ended = handle.ended().is_some();
                    assert!(!ended || now >= over, "limit {limit} ended early, at {now}");
                    assert!(
                        ended || now < over + 2 * WIDTH + 333,
                        "limit {limit} stands at {now}"
                    );
                }
            }
        }
    }

    /// Bytes that no event told of come before a limit that is over: it has looked first, once after
    /// each move, and then at rest it is left alone.
    #[test]
    fn a_tunnel_that_moved_is_looked_at_once_before_it_is_idle() {
        let mut wheel = Wheel::new();
        let handle = Handle::new();
        wheel.add(&handle, &limits(60_000), 0);
        let mut looks = Vec::new();
        for now in (0..100_000).step_by(250) {
            if now == 20_000 {
                handle.moved(now);
            }
            wheel.turn(now);
            if handle.takes_look() {
                looks.push(now);
            }
            assert_eq!(handle.ended().is_some(), now >= 80_000, "at {now}");
        }
        assert_eq!(looks.len(), 2, "{looks:?}");
        assert!((20_000..=25_000).contains(&looks[1]), "{looks:?}");

        let brief = Handle::new();
        wheel.add(&brief, &limits(1_000), 100_000);
        brief.moved(100_000);
        wheel.turn(101_000);
        assert!(brief.takes_look() && brief.ended().is_none());
        wheel.turn(101_000 + 2 * WIDTH);
        assert_eq!(brief.ended(), Some(Ended::Idle));
    }

    /// Entries come and go in any order; the lists stay whole, and places are used again.
    #[test]
    fn a_removed_tunnel_is_never_ended() {
        let mut wheel = Wheel::new();
        let mut state = 1_u64;
        let mut standing = Vec::new();
        for now in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            if state >> 63 == 0 {
                let handle = Handle::new();
                handle.active.set(now);
                standing.push((wheel.add(&handle, &limits(1_000_000), now), handle));
            } else if !standing.is_empty() {
                let (place, handle) = standing.swap_remove((state >> 33) as usize % standing.len());
                wheel.remove(place);
                assert_eq!(
                    Rc::strong_count(&handle),
                    1,
                    "the wheel keeps what was removed"
                );
            }
            wheel.turn(now);
        }
        assert!(wheel.entries.len() < 1_000, "places are not used again");
        assert!(standing.iter().all(|(_, handle)| handle.ended().is_none()));
        wheel.turn(2_000_000);
        wheel.turn(2_000_000 + WIDTH);
        assert!(
            standing
                .iter()
                .all(|(_, handle)| handle.ended() == Some(Ended::Idle))
        );
        for (place, _) in standing {
            wheel.remove(place);
        }
    }

    /// After a long pause of the worker (a suspended machine) nothing is skipped.
    #[test]
    fn a_late_tick_visits_every_slot_once() {
        let mut wheel = Wheel::new();
        let handles: Vec<_> = (0..600).map(|_| Handle::new()).collect();
        for (index, handle) in handles.iter().enumerate() {
            wheel.add(handle, &limits(250 * (index as u64 + 1)), 0);
        }
        // One to look, one to end.
        wheel.turn(10_000_000);
        assert!(handles.iter().all(|handle| handle.takes_look()));
        wheel.turn(10_000_000 + WIDTH);
        assert!(
            handles
                .iter()
                .all(|handle| handle.ended() == Some(Ended::Idle))
        );
    }
}
