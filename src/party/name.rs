//! Who is meant: a party's number or name, and the hub.

use super::PartyError;
use crate::pki::Name;
use crate::route::TargetTemplate;

/// A party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// What it is called in its domain: `9998`.
    pub id: String,
    /// Its full name, lower case, which certificates carry and hellos ask for: `9998.fate.org`.
    pub name: String,
    /// What is behind its id: `fate.org`.
    pub domain: String,
}

impl Party {
    /// `text` is the id, or the full name, which says the domain itself.
    ///
    /// # Errors
    /// [`PartyError::Usage`] where nobody says the domain; [`PartyError::Pki`] for what is no name.
    pub fn new(text: &str, domain: Option<&str>) -> Result<Party, PartyError> {
        let text = text.trim_end_matches('.');
        Name::dns(text)?;
        let full = match (text.contains('.'), domain) {
            (true, _) => text.to_owned(),
            (false, Some(domain)) => format!("{text}.{domain}"),
            (false, None) => {
                return Err(PartyError::Usage(format!(
                    "{text} is no full name and this authority has no domain: say {text}.DOMAIN, or \
                     --domain DOMAIN"
                )));
            }
        };
        let name = Name::dns(&full)?.to_string();
        let domain = domain.map(|domain| domain.trim_end_matches('.').to_ascii_lowercase());
        let below = domain.and_then(|domain| {
            let id = name.strip_suffix(&format!(".{domain}"))?.to_owned();
            Some((id, domain))
        });
        let (id, domain) = below.unwrap_or_else(|| {
            let (id, domain) = name.split_once('.').unwrap_or((&name, ""));
            (id.to_owned(), domain.to_owned())
        });
        Ok(Party { id, name, domain })
    }
}

/// Where the parties find the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Hub {
    /// `proxy.fate.org:443`; without a port, 443.
    ///
    /// # Errors
    /// [`PartyError::Usage`].
    pub fn parse(text: &str) -> Result<Hub, PartyError> {
        let bad =
            |why: String| PartyError::Usage(format!("{text:?} is no HOST:PORT of a hub: {why}"));
        let (template, _) = TargetTemplate::parse(text, 0).map_err(|why| bad(why.to_string()))?;
        if text.contains(['$', '{']) {
            return Err(bad("a name or an address is wanted".to_owned()));
        }
        let port = template.written_port();
        let (host, port) = match port {
            // Not written, or one that nobody listens on.
            None if text.contains(':') && !text.ends_with(']') => {
                return Err(bad("the port is in 1..=65535".to_owned()));
            }
            None => (text, 443),
            Some(port) => (text.rsplit_once(':').map_or(text, |(host, _)| host), port),
        };
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        Ok(Hub {
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// Whether it goes by a name, not an address.
    pub fn is_named(&self) -> bool {
        self.host.parse::<std::net::IpAddr>().is_err()
    }

    /// `host:port`, an IPv6 address in brackets.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(text: &str, domain: Option<&str>) -> Result<[String; 3], String> {
        let party = Party::new(text, domain).map_err(|error| error.to_string())?;
        Ok([party.id, party.name, party.domain])
    }

    #[test]
    fn a_number_and_a_full_name_are_the_same_party() {
        let want = Ok(["9998", "9998.fate.org", "fate.org"].map(str::to_owned));
        for (text, domain) in [
            ("9998", Some("fate.org")),
            ("9998", Some("Fate.org.")),
            ("9998.FATE.org.", None),
            ("9998.fate.org", Some("fate.org")),
        ] {
            assert_eq!(party(text, domain), want, "{text} {domain:?}");
        }
        let other = party("b.example.org", Some("fate.org")).unwrap();
        assert_eq!(other, ["b", "b.example.org", "example.org"]);
        assert!(party("9998", None).unwrap_err().contains("9998.DOMAIN"));
        for wrong in ["*.fate.org", "", "10.0.0.1", "a b.org", "a..org"] {
            assert!(party(wrong, Some("fate.org")).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_hub_has_a_port_and_brackets_where_they_belong() {
        let shown = |text| Hub::parse(text).map(|hub| hub.authority()).ok();
        assert_eq!(shown("proxy.fate.org"), Some("proxy.fate.org:443".into()));
        assert_eq!(shown("[fd00::1]:8443"), Some("[fd00::1]:8443".into()));
        assert_eq!(shown("10.0.0.1:443"), Some("10.0.0.1:443".into()));
        for wrong in [
            "",
            "a b",
            "h:0x",
            "h:70000",
            "$1:443",
            "https://h",
            "h:0",
            "[fd00::1]:0",
            "h:00",
        ] {
            assert_eq!(shown(wrong), None, "{wrong:?}");
        }
    }
}
