//! Which worker gets a new connection.
//!
//! The kernel spreads connections over the workers' listeners by a hash of their addresses: evenly in
//! the long run, by chance at any moment. The worker that accepts keeps a connection unless another
//! one is clearly less busy.

use super::Worker;
use super::orders::Door;
use std::sync::atomic::Ordering::Relaxed;

/// A hand-over costs a wake-up and a look at the orders, so a difference that is gone before the
/// connection would have waited is none.
const CLEARLY_FEWER_OPENING: usize = 2;
/// And a quarter of its own.
const CLEARLY_FEWER_SESSIONS: usize = 16;

/// What a worker has, the less the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    /// Sessions on their way to a tunnel: work that is there right now, and that a new connection
    /// would wait behind.
    opening: usize,
    /// All sessions: what they will do nobody knows.
    sessions: usize,
}

impl Load {
    fn of(door: &Door) -> Load {
        Load {
            opening: door.opening.get(),
            sessions: door.sessions.load(Relaxed),
        }
    }

    fn is_clearly_less_than(self, own: Load) -> bool {
        let fewer_sessions = CLEARLY_FEWER_SESSIONS.max(own.sessions / 4);
        own.opening > self.opening + CLEARLY_FEWER_OPENING
            || own.opening >= self.opening && own.sessions > self.sessions + fewer_sessions
    }
}

impl Worker {
    /// The worker that a new connection goes to, if not this one.
    pub(super) fn less_busy(&self) -> Option<&Door> {
        let own = Load::of(&self.doors[self.index]);
        let door = self.doors.iter().min_by_key(|door| Load::of(door))?;
        let clearly = Load::of(door).is_clearly_less_than(own);
        (clearly && !self.draining.is_cancelled()).then_some(door)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(opening: usize, sessions: usize) -> Load {
        Load { opening, sessions }
    }

    #[test]
    fn a_connection_goes_where_fewer_are_on_their_way() {
        assert!(load(0, 900).is_clearly_less_than(load(3, 900)));
        assert!(!load(0, 900).is_clearly_less_than(load(2, 900)));
        assert!(
            load(5, 1_200).is_clearly_less_than(load(8, 900)),
            "whatever stands"
        );
    }

    #[test]
    fn a_connection_goes_where_clearly_fewer_stand() {
        assert!(load(1, 4).is_clearly_less_than(load(1, 21)));
        assert!(!load(1, 4).is_clearly_less_than(load(1, 20)));
        assert!(load(0, 749).is_clearly_less_than(load(0, 1_000)));
        assert!(!load(0, 750).is_clearly_less_than(load(0, 1_000)));
        assert!(
            !load(2, 0).is_clearly_less_than(load(1, 1_000)),
            "it would wait there"
        );
    }
}
