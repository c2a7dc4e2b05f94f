//! Layouts: which files a system reads, under which names, what is in them, and whom the
//! certificates are for. Data only; what makes them is [`super::bundle`].

use super::KeyKind;

/// A system that reads certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// A party's Pulsar broker in a FATE star.
    Pulsar,
    /// The hub itself.
    Hub,
    /// Eggroll 2.x, rollsite.
    Eggroll,
    /// FATE 2.x, OSX.
    Osx,
    /// Substra's orchestrator.
    SubstraOrchestrator,
    /// An organisation's Substra backend, a client of the orchestrator.
    SubstraBackend,
    /// Flower's SuperLink.
    Flower,
    /// cloud-api-adaptor with its peer pod VMs, in manual mode.
    Podvm,
}

/// What a layout is.
#[derive(Debug)]
pub struct Spec {
    /// What people call it, on the command line too.
    pub name: &'static str,
    /// One line for a list.
    pub about: &'static str,
    /// The certificates, each with a key of its own.
    pub leaves: &'static [LeafSpec],
    /// The files, in the order in which they are told.
    pub files: &'static [FileSpec],
    /// The Kubernetes Secret that its charts look for; others take any name.
    pub secret: &'static str,
    /// Which keys its readers load; the first is the default.
    pub keys: &'static [KeyKind],
    /// Why not others.
    pub keys_why: &'static str,
    /// Whether the names may be addresses, too.
    pub addresses: bool,
    /// Whether the first name is a party's, `<party>.<domain>`.
    pub party: bool,
    /// Whether `O=` has to be there, since readers take it for who one is.
    pub organization: bool,
    /// The user and group that has to be able to read it, where it is not whoever starts the reader.
    pub owner: Option<u32>,
    /// What to do with the files.
    pub next: &'static str,
}

/// One certificate of a layout.
#[derive(Debug)]
pub struct LeafSpec {
    /// What it is for, in a word.
    pub role: &'static str,
    /// Whose it is.
    pub subject: Subject,
    /// Extended key usage (RFC 5280 section 4.2.1.12).
    pub uses: Uses,
}

/// Whom a certificate names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The names that were asked for; the first is the common name.
    Names,
    /// The names that were asked for, under this common name.
    NamesAs(&'static str),
    /// `party-<id>-client`; the id is the first label of the first name.
    PartyClient,
    /// Always this name.
    Fixed(&'static str),
}

/// What a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uses {
    /// serverAuth and clientAuth: a broker is called and calls.
    Both,
    /// serverAuth alone.
    Server,
    /// clientAuth alone.
    Client,
}

/// One file of a layout.
#[derive(Debug, Clone, Copy)]
pub struct FileSpec {
    /// Its name.
    pub name: &'static str,
    /// What is in it.
    pub content: Content,
}

/// What is in a file; the number is that of the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The authority's certificate.
    Authority,
    /// A leaf's certificate alone.
    Certificate(usize),
    /// A leaf's certificate and then the authority's.
    Chain(usize),
    /// A leaf's private key, PKCS#8, not encrypted.
    Key(usize),
}

impl Content {
    /// A key is its owner's alone; certificates are public.
    pub fn mode(self) -> u32 {
        match self {
            Content::Key(_) => 0o600,
            Content::Authority | Content::Certificate(_) | Content::Chain(_) => 0o644,
        }
    }
}

const fn file(name: &'static str, content: Content) -> FileSpec {
    FileSpec { name, content }
}

const ANY_KEY: &[KeyKind] = &[KeyKind::P256, KeyKind::Rsa2048, KeyKind::Rsa4096];

const ONE: &[LeafSpec] = &[LeafSpec {
    role: "server",
    subject: Subject::Names,
    uses: Uses::Both,
}];

/// What most layouts are; each says what it has otherwise.
const PLAIN: Spec = Spec {
    name: "",
    about: "",
    leaves: ONE,
    files: &[],
    secret: "",
    keys: ANY_KEY,
    keys_why: "",
    addresses: false,
    party: false,
    organization: false,
    owner: None,
    next: "",
};

const PULSAR: Spec = Spec {
    name: "pulsar",
    about: "a party's Pulsar broker in a FATE star: <party>.<domain>, advertised broker names",
    files: &[
        file("ca.cert.pem", Content::Authority),
        file("broker.cert.pem", Content::Certificate(0)),
        file("broker.key-pk8.pem", Content::Key(0)),
    ],
    secret: "pulsar-cert",
    keys: &[KeyKind::Rsa2048, KeyKind::Rsa4096],
    keys_why: "brokers up to 3.0 cannot load ECDSA keys (\"Private key loading error\")",
    party: true,
    next: "in the party's broker.conf: tlsCertificateFilePath is broker.cert.pem, tlsKeyFilePath \
           broker.key-pk8.pem; tlsTrustCertsFilePath and brokerClientTrustCertsFilePath ca.cert.pem",
    ..PLAIN
};

const HUB: Spec = Spec {
    name: "hub",
    about: "the hub's own name: routes that end TLS, the admin port, drop-in mounts",
    files: &[
        file("proxy.cert.pem", Content::Certificate(0)),
        file("proxy.key.pem", Content::Key(0)),
        file("ca.cert.pem", Content::Authority),
    ],
    secret: "traffic-server-cert",
    next: "needed only for routes that end TLS, the admin port, and mounts that expect it: blind \
           tunnels take no certificate of the hub",
    ..PLAIN
};

const EGGROLL: Spec = Spec {
    name: "eggroll",
    about: "Eggroll 2.x rollsite: <party>.<domain>, and a client party-<id>-client",
    leaves: &[
        LeafSpec {
            role: "server",
            subject: Subject::Names,
            uses: Uses::Both,
        },
        LeafSpec {
            role: "client",
            subject: Subject::PartyClient,
            uses: Uses::Client,
        },
    ],
    files: &[
        file("ca.pem", Content::Authority),
        file("server.crt", Content::Certificate(0)),
        file("server.key", Content::Key(0)),
        file("client.crt", Content::Certificate(1)),
        file("client.key", Content::Key(1)),
    ],
    secret: "eggroll-certs",
    party: true,
    next: "in the other parties' route_table.json this party's `ip` is its first name here, letter \
           for letter, with port 443 and \"is_secure\": true",
    ..PLAIN
};

const OSX: Spec = Spec {
    name: "osx",
    about: "FATE 2.x OSX: common name osx; names and addresses",
    leaves: &[LeafSpec {
        role: "server",
        subject: Subject::NamesAs("osx"),
        uses: Uses::Both,
    }],
    files: &[
        file("ca.crt", Content::Authority),
        file("server.crt", Content::Chain(0)),
        file("server.pem", Content::Key(0)),
    ],
    secret: "osx-certs",
    addresses: true,
    party: true,
    next: "in OSX's properties: the trusted CA is ca.crt, the certificate chain server.crt, the \
           private key (PKCS#8) server.pem",
    ..PLAIN
};

const SUBSTRA_ORCHESTRATOR: Spec = Spec {
    name: "substra-orchestrator",
    about: "Substra's orchestrator: orchestrator.<domain>, host name",
    files: &[
        file("ca.crt", Content::Authority),
        file("tls.crt", Content::Certificate(0)),
        file("tls.key", Content::Key(0)),
    ],
    secret: "orchestrator-tls-server-pair",
    next: "backends trust ca.crt and dial the first name on port 443 of the hub",
    ..PLAIN
};

const SUBSTRA_BACKEND: Spec = Spec {
    name: "substra-backend",
    about: "an organisation's Substra backend: --org is its MSP id (O=)",
    leaves: &[LeafSpec {
        role: "client",
        subject: Subject::Names,
        uses: Uses::Both,
    }],
    files: &[
        file("ca.crt", Content::Authority),
        file("tls.crt", Content::Certificate(0)),
        file("tls.key", Content::Key(0)),
    ],
    secret: "orchestrator-tls-client-pair",
    organization: true,
    next: "the orchestrator takes the certificate's O= for the organisation's MSP id",
    ..PLAIN
};

const FLOWER: Spec = Spec {
    name: "flower",
    about: "Flower's SuperLink: its names and addresses; readable by uid 49999",
    files: &[
        file("ca.crt", Content::Authority),
        file("server.pem", Content::Certificate(0)),
        file("server.key", Content::Key(0)),
    ],
    secret: "flower-superlink-certs",
    addresses: true,
    owner: Some(49999),
    next: "flower-superlink --ssl-ca-certfile ca.crt --ssl-certfile server.pem --ssl-keyfile \
           server.key; SuperNodes take --root-certificates ca.crt",
    ..PLAIN
};

const PODVM: Spec = Spec {
    name: "podvm",
    about: "cloud-api-adaptor, manual mode: podvm-server and podvm_client; takes no names",
    leaves: &[
        // Every VM holds the server's key: it must not be able to pose as the adaptor to others.
        LeafSpec {
            role: "server",
            subject: Subject::Fixed("podvm-server"),
            uses: Uses::Server,
        },
        LeafSpec {
            role: "client",
            subject: Subject::Fixed("podvm_client"),
            uses: Uses::Client,
        },
    ],
    files: &[
        file("ca.crt", Content::Authority),
        file("tls.crt", Content::Certificate(0)),
        file("tls.key", Content::Key(0)),
        file("client.crt", Content::Certificate(1)),
        file("client.key", Content::Key(1)),
    ],
    secret: "certs-for-tls",
    next: "tls.crt and tls.key go into the VM's image, client.crt and client.key to the adaptor, \
           ca.crt to both",
    ..PLAIN
};

impl Layout {
    /// All there are.
    pub const ALL: [Layout; 8] = [
        Layout::Pulsar,
        Layout::Hub,
        Layout::Eggroll,
        Layout::Osx,
        Layout::SubstraOrchestrator,
        Layout::SubstraBackend,
        Layout::Flower,
        Layout::Podvm,
    ];

    /// What it is.
    pub fn spec(self) -> &'static Spec {
        match self {
            Layout::Pulsar => &PULSAR,
            Layout::Hub => &HUB,
            Layout::Eggroll => &EGGROLL,
            Layout::Osx => &OSX,
            Layout::SubstraOrchestrator => &SUBSTRA_ORCHESTRATOR,
            Layout::SubstraBackend => &SUBSTRA_BACKEND,
            Layout::Flower => &FLOWER,
            Layout::Podvm => &PODVM,
        }
    }

    /// The layout that people call so.
    pub fn named(name: &str) -> Option<Layout> {
        Layout::ALL
            .into_iter()
            .find(|layout| layout.spec().name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_an_authority_and_a_pair_for_every_leaf() {
        for layout in Layout::ALL {
            let spec = layout.spec();
            assert_eq!(Layout::named(spec.name), Some(layout));
            let has = |content| spec.files.iter().filter(|f| f.content == content).count();
            assert_eq!(has(Content::Authority), 1, "{}", spec.name);
            for leaf in 0..spec.leaves.len() {
                let certificates = has(Content::Certificate(leaf)) + has(Content::Chain(leaf));
                assert_eq!(
                    (certificates, has(Content::Key(leaf))),
                    (1, 1),
                    "{}",
                    spec.name
                );
            }
            assert_eq!(spec.files.len(), 1 + 2 * spec.leaves.len(), "{}", spec.name);
        }
    }
}
