//! `inbound_port_ranges` and `connect_ports`: sets of TCP ports.

use std::fmt;
use thiserror::Error;

/// A set of ports, 1 to 65535, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSet {
    /// Sorted, disjoint, not adjacent, inclusive.
    ranges: Box<[(u16, u16)]>,
}

/// Collects the items of a list, then [`PortSetBuilder::build`].
#[derive(Debug, Clone, Default)]
pub struct PortSetBuilder {
    ranges: Vec<(u16, u16)>,
}

/// Why a text is no set of ports.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PortError {
    /// Not a port, nor two with a `-` between.
    #[error("{seen:?} is not a port in 1..=65535 nor a range like 6650-6700")]
    NotAPort {
        /// The item, cut to 40 characters.
        seen: String,
        /// Where it begins, in bytes from the beginning of the text.
        at: usize,
    },
    /// A range that ends before it begins.
    #[error("range {first}-{last} ends before it begins")]
    Reversed {
        /// As written.
        first: u16,
        /// As written.
        last: u16,
        /// Where it begins, in bytes from the beginning of the text.
        at: usize,
    },
    /// No port at all.
    #[error("no port given")]
    Empty,
}

/// Which destination ports a decision may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectPorts {
    /// Somebody wrote `connect_ports`: it bounds every port.
    Written(PortSet),
    /// Nobody did. What sni.yaml and the listener say stands; a port that the client chooses (`$N`
    /// in the port) is limited to `443 6650-6700`.
    Default,
}

impl PortSet {
    /// Ports and ranges, separated by white space or commas: `443 6650-6700`. `*` is every port, as in
    /// ATS's `connect_ports`.
    ///
    /// # Errors
    /// [`PortError`], with the place in the text.
    pub fn parse(text: &str) -> Result<PortSet, PortError> {
        let mut set = PortSetBuilder::default();
        set.add(text)?;
        set.build()
    }

    /// Whether the port is in it.
    pub fn contains(&self, port: u16) -> bool {
        let after = self.ranges.partition_point(|&(first, _)| first <= port);
        after > 0 && port <= self.ranges[after - 1].1
    }

    /// Whether every port of `other` is in it.
    pub fn covers(&self, other: &PortSet) -> bool {
        // Neighbouring ranges are merged, so one range of ours must hold each of the other's.
        other.ranges.iter().all(|&(first, last)| {
            let after = self.ranges.partition_point(|&(ours, _)| ours <= first);
            after > 0 && last <= self.ranges[after - 1].1
        })
    }
}

impl PortSetBuilder {
    /// Adds one item of a list, or a text with several.
    ///
    /// # Errors
    /// [`PortError`], with the place in this text; nothing of it was added.
    pub fn add(&mut self, text: &str) -> Result<(), PortError> {
        let mut added = Vec::new();
        for item in text
            .split(|c: char| c.is_whitespace() || c == ',')
            .filter(|item| !item.is_empty())
        {
            // Both are slices of one text.
            let at = item.as_ptr().addr() - text.as_ptr().addr();
            added.push(range(item, at)?);
        }
        self.ranges.append(&mut added);
        Ok(())
    }

    /// The set.
    ///
    /// # Errors
    /// [`PortError::Empty`] if no port was added.
    pub fn build(mut self) -> Result<PortSet, PortError> {
        if self.ranges.is_empty() {
            return Err(PortError::Empty);
        }
        self.ranges.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(self.ranges.len());
        for (first, last) in self.ranges {
            match merged.last_mut() {
                Some(before) if u32::from(first) <= u32::from(before.1) + 1 => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Ok(PortSet {
            ranges: merged.into(),
        })
    }
}

impl fmt::Display for PortSet {
    /// As [`PortSet::parse`] reads it, with commas: `443,6650-6700`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl ConnectPorts {
    /// Whether a decision may lead to this port. `clients_choice`: the port comes from the name
    /// that the client sent.
    pub fn permits(&self, port: u16, clients_choice: bool) -> bool {
        match self {
            ConnectPorts::Written(set) => set.contains(port),
            // ATS's own default is 443 alone, which would refuse the FATE guide's table (6651).
            ConnectPorts::Default => {
                !clients_choice || port == 443 || (6650..=6700).contains(&port)
            }
        }
    }
}

impl fmt::Display for ConnectPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectPorts::Written(set) => set.fmt(f),
            ConnectPorts::Default => f.write_str("default (443,6650-6700 for ports in $N)"),
        }
    }
}

fn range(item: &str, at: usize) -> Result<(u16, u16), PortError> {
    if item == "*" {
        return Ok((1, u16::MAX));
    }
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(first), Some(last)) => Err(PortError::Reversed { first, last, at }),
        _ => Err(PortError::NotAPort {
            seen: item.chars().take(40).collect(),
            at,
        }),
    }
}

/// Digits only (`parse` alone would take a `+`), 1 to 65535.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_merged() {
        let set = PortSet::parse("443, 6660-6700 6650-6659,30000-33000").unwrap();
        assert_eq!(set.to_string(), "443,6650-6700,30000-33000");
        assert_eq!(PortSet::parse(&set.to_string()).unwrap(), set);
        for port in [443, 6650, 6660, 6700, 30000, 33000] {
            assert!(set.contains(port), "{port}");
        }
        for port in [0, 1, 442, 444, 6649, 6701, 29999, 33001, 65535] {
            assert!(!set.contains(port), "{port}");
        }
    }

    #[test]
    fn items_of_a_list_come_one_by_one() {
        let mut set = PortSetBuilder::default();
        set.add("8080-8086").unwrap();
        assert!(set.add("443 x").is_err());
        set.add("65535").unwrap();
        assert_eq!(set.build().unwrap().to_string(), "8080-8086,65535");
    }

    #[test]
    fn a_star_is_every_port() {
        let all = PortSet::parse("*").unwrap();
        assert!(all.contains(1) && all.contains(65535) && !all.contains(0));
    }

    #[test]
    fn errors_say_what_was_seen_and_where() {
        let not_a_port = |seen: &str, at| {
            Err(PortError::NotAPort {
                seen: seen.into(),
                at,
            })
        };
        assert_eq!(PortSet::parse("443 70000"), not_a_port("70000", 4));
        for bad in [
            "0", "+443", "443-", "-443", "-", "1-2-3", "http", "443;", "0-9",
        ] {
            assert_eq!(PortSet::parse(bad), not_a_port(bad, 0), "{bad}");
        }
        let reversed = PortError::Reversed {
            first: 9,
            last: 8,
            at: 2,
        };
        assert_eq!(PortSet::parse("1,9-8"), Err(reversed));
        assert_eq!(PortSet::parse(" , "), Err(PortError::Empty));
    }

    #[test]
    fn a_set_covers_its_parts_only() {
        let set = |text| PortSet::parse(text).unwrap();
        assert!(set("1-10,11-20").covers(&set("5-15,20")));
        assert!(!set("1-10,12-20").covers(&set("5-15")));
        assert!(!set("443").covers(&set("443,444")));
    }

    #[test]
    fn only_a_port_of_the_clients_choice_is_bounded_by_the_default() {
        assert!(ConnectPorts::Default.permits(15001, false));
        assert!(!ConnectPorts::Default.permits(15001, true));
        assert!(ConnectPorts::Default.permits(6651, true));
        let written = ConnectPorts::Written(PortSet::parse("443").unwrap());
        assert!(!written.permits(6651, false) && !written.permits(6651, true));
    }
}
