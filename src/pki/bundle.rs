//! From an order to the files of a layout: pure, nothing is written here.

use super::authority::{Authority, Leaf, check_organization};
use super::layout::{Content, LeafSpec, Subject, Uses};
use super::{KeyKind, Layout, Moment, Name, PkiError, Serial};
use rcgen::PublicKeyData;
use std::fmt;
use std::time::Duration;

/// Certificates to be made, in a layout. Once there is one, it can be made.
#[derive(Debug, Clone)]
pub struct Order {
    layout: Layout,
    names: Vec<Name>,
    organization: Option<String>,
    key: KeyKind,
    valid_for: Duration,
}

/// What an order is made of, as it was asked for.
#[derive(Debug, Clone, Default)]
pub struct Wish<'w> {
    /// The names, the party's or server's own first.
    pub names: &'w [String],
    /// Completes a party's first name that has no dot: `9998` to `9998.<domain>`.
    pub domain: Option<&'w str>,
    /// The subject's `O=`.
    pub organization: Option<&'w str>,
    /// The layout's first if there is none.
    pub key: Option<KeyKind>,
}

/// A certificate that was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Certified {
    /// Its serial number.
    pub serial: Serial,
    /// What it is for, in a word: one of its layout's roles.
    pub role: String,
    /// The subject's common name.
    pub common_name: String,
    /// The subject's organisation.
    pub organization: Option<String>,
    /// The subject alternative names.
    pub names: Vec<String>,
    /// An hour before it was made.
    pub not_before: Moment,
    /// When it ends.
    pub not_after: Moment,
    /// The certificate, PEM.
    pub pem: String,
}

/// A file to be written.
#[derive(Clone)]
pub struct BundleFile {
    /// Its name, without a folder.
    pub name: &'static str,
    /// Which part of the layout it is.
    pub content: Content,
    /// Its bytes.
    pub text: String,
}

/// The certificates and files of one order.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// In which layout.
    pub layout: Layout,
    /// One for each leaf of the layout.
    pub certificates: Vec<Certified>,
    /// In the layout's order.
    pub files: Vec<BundleFile>,
}

// Does not show a private key in a log.
impl fmt::Debug for BundleFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Order {
    /// Checks a wish against the layout.
    ///
    /// # Errors
    /// [`PkiError::NoName`], [`PkiError::BadName`], [`PkiError::BadOrganization`] and
    /// [`PkiError::Layout`] for what the layout does not take.
    pub fn new(layout: Layout, wish: &Wish<'_>, valid_for: Duration) -> Result<Order, PkiError> {
        let spec = layout.spec();
        let unfit = |why: String| PkiError::Layout {
            layout: spec.name,
            why,
        };
        let key = wish.key.unwrap_or(spec.keys[0]);
        if !spec.keys.contains(&key) {
            let takes: Vec<_> = spec.keys.iter().map(|key| key.name()).collect();
            let takes = takes.join(" or ");
            return Err(unfit(format!("takes {takes} keys: {}", spec.keys_why)));
        }
        if let Some(organization) = wish.organization {
            check_organization(organization)?;
        } else if spec.organization {
            return Err(unfit(
                "needs --org, the organisation's MSP id: the orchestrator takes the certificate's O= \
                 for it"
                    .to_owned(),
            ));
        }
        Ok(Order {
            layout,
            names: names(layout, wish)?,
            organization: wish.organization.map(str::to_owned),
            key,
            valid_for,
        })
    }

    /// In which layout.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The names that were asked for, the first one the certificate goes by.
    pub fn names(&self) -> &[Name] {
        &self.names
    }

    /// The name that the certificates go by.
    pub fn primary(&self) -> String {
        self.names[0].to_string()
    }

    /// The subject's `CN=` of its first certificate.
    pub fn common_name(&self) -> Option<String> {
        let leaf = self.leaf(&self.layout.spec().leaves[0]);
        leaf.ok().map(|leaf| leaf.common_name)
    }

    /// The subject's `O=`.
    pub fn organization(&self) -> Option<&str> {
        self.organization.as_deref()
    }

    /// Makes the keys, signs the certificates, and lays out the files. `serial` gives numbers that
    /// were never given before.
    ///
    /// # Errors
    /// Of `serial`; [`PkiError::BadLifetime`], [`PkiError::AuthorityEnded`], [`PkiError::Crypto`].
    pub fn make(
        &self,
        authority: &Authority,
        mut serial: impl FnMut() -> Result<Serial, PkiError>,
    ) -> Result<Bundle, PkiError> {
        let mut certificates = Vec::new();
        let mut keys = Vec::new();
        for spec in self.layout.spec().leaves {
            let leaf = self.leaf(spec)?;
            let number = serial()?;
            let (signed, key) = authority.with_new_key(&leaf, self.key, number, self.valid_for)?;
            certificates.push(Certified::of(spec, leaf, number, signed));
            keys.push(key);
        }
        Ok(self.bundle(authority, certificates, &keys))
    }

    /// Signs for a key that is elsewhere: the files are the layout's without that key.
    ///
    /// # Errors
    /// As [`Order::make`]; [`PkiError::Layout`] where a layout has more than one key.
    pub fn sign(
        &self,
        authority: &Authority,
        key: &impl PublicKeyData,
        serial: Serial,
    ) -> Result<Bundle, PkiError> {
        let [spec] = self.layout.spec().leaves else {
            return Err(PkiError::Layout {
                layout: self.layout.spec().name,
                why: "has two keys, and a request is for one: `snihub pki issue` makes both pairs"
                    .to_owned(),
            });
        };
        let leaf = self.leaf(spec)?;
        let signed = authority.sign(&leaf, key, serial, self.valid_for)?;
        let certificates = vec![Certified::of(spec, leaf, serial, signed)];
        Ok(self.bundle(authority, certificates, &[]))
    }

    fn leaf(&self, spec: &LeafSpec) -> Result<Leaf, PkiError> {
        let first = self.primary();
        let one = |name: &str| Name::dns(name).map(|one| (name.to_owned(), vec![one]));
        let (common_name, names) = match spec.subject {
            Subject::Names => (first, self.names.clone()),
            Subject::NamesAs(common_name) => (common_name.to_owned(), self.names.clone()),
            Subject::Fixed(name) => one(name)?,
            Subject::PartyClient => {
                let id = first.split('.').next().unwrap_or_default();
                one(&format!("party-{id}-client"))?
            }
        };
        Ok(Leaf {
            common_name,
            organization: self.organization.clone(),
            names,
            uses: spec.uses,
        })
    }

    fn bundle(
        &self,
        authority: &Authority,
        certificates: Vec<Certified>,
        keys: &[String],
    ) -> Bundle {
        let files = self.layout.spec().files.iter().filter_map(|file| {
            let text = match file.content {
                Content::Authority => authority.trusted_pem().to_owned(),
                Content::Certificate(leaf) => certificates[leaf].pem.clone(),
                // RFC 8446 section 4.4.2: the sender's certificate comes first.
                Content::Chain(leaf) => {
                    certificates[leaf].pem.clone() + &authority.certificate_pem()
                }
                Content::Key(leaf) => keys.get(leaf)?.clone(),
            };
            Some(BundleFile {
                name: file.name,
                content: file.content,
                text,
            })
        });
        Bundle {
            layout: self.layout,
            files: files.collect(),
            certificates,
        }
    }
}

impl Bundle {
    /// Whether the key is elsewhere.
    pub(super) fn keyless(&self) -> bool {
        let mut files = self.files.iter();
        !files.any(|file| matches!(file.content, Content::Key(_)))
    }
}

impl Certified {
    fn of(spec: &LeafSpec, leaf: Leaf, serial: Serial, signed: super::authority::Signed) -> Self {
        Certified {
            serial,
            role: spec.role.to_owned(),
            common_name: leaf.common_name,
            organization: leaf.organization,
            names: leaf.names.iter().map(ToString::to_string).collect(),
            not_before: signed.not_before,
            not_after: signed.not_after,
            pem: signed.certificate_pem,
        }
    }
}

impl Uses {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Uses::Both => "server and client",
            Uses::Server => "server",
            Uses::Client => "client",
        }
    }
}

fn names(layout: Layout, wish: &Wish<'_>) -> Result<Vec<Name>, PkiError> {
    let spec = layout.spec();
    let unfit = |why: String| PkiError::Layout {
        layout: spec.name,
        why,
    };
    if let Subject::Fixed(first) = spec.leaves[0].subject {
        if !wish.names.is_empty() {
            return Err(unfit(
                "takes no names: its certificates always carry the two that cloud-api-adaptor asks \
                 for"
                    .to_owned(),
            ));
        }
        return Ok(vec![Name::dns(first)?]);
    }
    let mut names = Vec::new();
    for (at, text) in wish.names.iter().enumerate() {
        if !spec.addresses && text.parse::<std::net::IpAddr>().is_ok() {
            return Err(unfit(format!(
                "takes names, and {text} is an address: TLS clients send no address as server name (RFC \
                 6066 section 3), and the hub routes by it"
            )));
        }
        let bare = at == 0 && spec.party && !text.trim_end_matches('.').contains(['.', ':']);
        let name = match (bare, wish.domain, spec.addresses) {
            (true, Some(domain), _) => {
                Name::dns(text)?;
                Name::dns(&format!("{text}.{domain}"))?
            }
            (_, _, true) => Name::parse(text)?,
            _ => Name::dns(text)?,
        };
        if bare && !name.to_string().contains('.') {
            return Err(unfit(format!(
                "{text} is no party's full name, <party>.<domain>: give {text}.DOMAIN, or the domain \
                 with --domain"
            )));
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Err(PkiError::NoName);
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
