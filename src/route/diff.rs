//! From one table to the next: what goes on, and what changed.

use super::{Route, RouteTable};
use std::collections::HashMap;
use std::sync::Arc;

/// What a reload changed, by route id; each in file order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diff {
    /// In the new table only.
    pub added: Vec<Arc<str>>,
    /// In the old table only.
    pub removed: Vec<Arc<str>>,
    /// In both, with another action, rule or timeout.
    pub changed: Vec<Arc<str>>,
    /// Those in both stand in another order: the first that takes a name wins.
    pub reordered: bool,
}

impl Diff {
    /// Whether every route is as it was, and in the same order (its line in the file apart).
    pub fn is_empty(&self) -> bool {
        let Diff {
            added,
            removed,
            changed,
            reordered,
        } = self;
        added.is_empty() && removed.is_empty() && changed.is_empty() && !reordered
    }
}

impl RouteTable {
    /// Takes over the old table's `Arc<Route>` wherever the route is unchanged, so that what is
    /// counted by route goes on counting.
    pub fn adopt(&mut self, old: &RouteTable) {
        let old = old.by_id();
        for row in &mut self.rows {
            if let Some(&same) = old.get(&*row.route.id).filter(|&&o| *o == row.route) {
                row.route = Arc::clone(same);
            }
        }
    }

    /// What changed since `old`.
    pub fn diff(&self, old: &RouteTable) -> Diff {
        let (before, after) = (old.by_id(), self.by_id());
        let mut diff = Diff::default();
        for (_, route) in self.entries() {
            match before.get(&*route.id) {
                None => diff.added.push(Arc::clone(&route.id)),
                Some(&o) if o != route => diff.changed.push(Arc::clone(&route.id)),
                Some(_) => {}
            }
        }
        let gone = |id: &Arc<str>| !after.contains_key(&**id);
        let kept = |id: &&Arc<str>| before.contains_key(&***id) && after.contains_key(&***id);
        diff.reordered = !self.ids().filter(kept).eq(old.ids().filter(kept));
        diff.removed.extend(
            old.entries()
                .map(|(_, r)| &r.id)
                .filter(|id| gone(id))
                .cloned(),
        );
        diff
    }

    /// Of every entry, in file order.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.entries().map(|(_, route)| &route.id)
    }

    fn by_id(&self) -> HashMap<&str, &Arc<Route>> {
        self.entries()
            .map(|(_, route)| (&*route.id, route))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::tests::{entry, ips, table};

    #[test]
    fn what_is_unchanged_goes_on_even_where_it_moved() {
        let old = table([entry("a", "h:1"), entry("b", "h:2"), entry("c", "h:3")]);
        let mut allowed = entry("c", "h:3");
        allowed.ip_allow = Some(ips(&["10.0.0.1"]));
        let mut moved = entry("a", "h:1");
        moved.line = 99;
        let mut new = table([entry("d", "h:4"), allowed, moved]);
        new.adopt(&old);
        let route = |table: &RouteTable, i| Arc::clone(table.entries().nth(i).unwrap().1);
        assert!(Arc::ptr_eq(&route(&new, 2), &route(&old, 0)));
        assert!(!Arc::ptr_eq(&route(&new, 1), &route(&old, 2)));
        assert_eq!(new.line_of(&route(&old, 0)), Some(99));
        let diff = new.diff(&old);
        let ids = |ids: &[Arc<str>]| ids.join(" ");
        assert_eq!(
            (ids(&diff.added), ids(&diff.removed), ids(&diff.changed)),
            ("d".into(), "b".into(), "c".into())
        );
        assert!(!diff.is_empty() && new.diff(&new).is_empty());
        assert!(diff.reordered, "c stood behind a");
    }

    #[test]
    fn another_order_is_a_difference() {
        let old = table([entry("a", "h:1"), entry("b", "h:2"), entry("gone", "h:3")]);
        let swapped = table([entry("b", "h:2"), entry("a", "h:1")]);
        assert!(swapped.diff(&old).reordered);
        let kept = table([entry("new", "h:4"), entry("a", "h:1"), entry("b", "h:2")]);
        assert!(!kept.diff(&old).reordered);
        let two = table([entry("b", "h:2"), entry("a", "h:1")]);
        assert!(two.diff(&swapped).is_empty());
    }
}
