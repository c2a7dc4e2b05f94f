//! A ClientHello builder: well-formed by default, wrong wherever a test wants it to be.
//!
//! ```ignore
//! let wire = Hello::named("a.example.com").versions(&[0x0304]).padded_to(1800).wire();
//! let split = Hello::named("a.example.com").wire_in_records_of(1);
//! ```

/// Extension types that tests name.
pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const GROUPS: u16 = 10;
pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const ALPN: u16 = 16;
pub(crate) const PADDING: u16 = 21;
pub(crate) const PRE_SHARED_KEY: u16 = 41;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
pub(crate) const PSK_MODES: u16 = 45;
pub(crate) const KEY_SHARE: u16 = 51;
pub(crate) const ECH: u16 = 0xfe0d;

/// The largest payload of a record.
pub(crate) const MAX_RECORD: usize = 16384;

#[derive(Debug, Clone)]
pub(crate) struct Hello {
    record_version: u16,
    client_version: u16,
    session_id: Vec<u8>,
    ciphers: Vec<u8>,
    compression: Vec<u8>,
    /// In wire order; `None`: no extension block at all.
    extensions: Option<Vec<(u16, Vec<u8>)>>,
    /// Bytes after the extension block, inside the message.
    tail: Vec<u8>,
    padded_to: usize,
}

impl Hello {
    /// TLS 1.3 and 1.2, x25519, no server name.
    pub(crate) fn nameless() -> Hello {
        Hello {
            record_version: 0x0301,
            client_version: 0x0303,
            session_id: (0x64..0x84).collect(),
            ciphers: u16s(&[0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f]),
            compression: vec![0],
            extensions: Some(Vec::new()),
            tail: Vec::new(),
            padded_to: 0,
        }
        .groups(&[0x001d, 0x0017])
        .extension(
            SIGNATURE_ALGORITHMS,
            vec16(&u16s(&[0x0403, 0x0804, 0x0401])),
        )
        .versions(&[0x0304, 0x0303])
        .extension(PSK_MODES, vec![1, 1])
        .key_shares(&[(0x001d, 32)])
    }

    /// The same with a server name, as its first extension.
    pub(crate) fn named(name: impl AsRef<[u8]>) -> Hello {
        Hello::nameless().sni(sni(&[(0, name.as_ref())]))
    }

    /// The raw content of server_name, in front; replaces the one that is there.
    pub(crate) fn sni(self, content: Vec<u8>) -> Hello {
        let mut hello = self.without(SERVER_NAME);
        hello.block().insert(0, (SERVER_NAME, content));
        hello
    }

    /// One extension more, at the end, even if there is one of its type.
    pub(crate) fn extension(mut self, kind: u16, content: impl Into<Vec<u8>>) -> Hello {
        self.block().push((kind, content.into()));
        self
    }

    /// Takes every extension of a type out.
    pub(crate) fn without(mut self, kind: u16) -> Hello {
        self.block().retain(|(k, _)| *k != kind);
        self
    }

    /// No extension block: the hello ends with its compression methods.
    pub(crate) fn without_block(mut self) -> Hello {
        self.extensions = None;
        self
    }

    /// An extension block of length 0.
    pub(crate) fn empty_block(mut self) -> Hello {
        self.extensions = Some(Vec::new());
        self
    }

    /// supported_versions.
    pub(crate) fn versions(self, versions: &[u16]) -> Hello {
        self.without(SUPPORTED_VERSIONS)
            .extension(SUPPORTED_VERSIONS, vec8(&u16s(versions)))
    }

    /// supported_groups.
    pub(crate) fn groups(self, groups: &[u16]) -> Hello {
        self.without(GROUPS).extension(GROUPS, vec16(&u16s(groups)))
    }

    /// key_share: group and length of each share.
    pub(crate) fn key_shares(self, shares: &[(u16, usize)]) -> Hello {
        let mut entries = Vec::new();
        for (group, len) in shares {
            entries.extend(group.to_be_bytes());
            entries.extend(vec16(&vec![0x5a; *len]));
        }
        self.without(KEY_SHARE)
            .extension(KEY_SHARE, vec16(&entries))
    }

    pub(crate) fn ciphers(self, ciphers: &[u16]) -> Hello {
        self.raw_ciphers(&u16s(ciphers))
    }

    pub(crate) fn raw_ciphers(mut self, ciphers: &[u8]) -> Hello {
        self.ciphers = ciphers.to_vec();
        self
    }

    pub(crate) fn session_id(mut self, session_id: &[u8]) -> Hello {
        self.session_id = session_id.to_vec();
        self
    }

    pub(crate) fn compression(mut self, methods: &[u8]) -> Hello {
        self.compression = methods.to_vec();
        self
    }

    pub(crate) fn client_version(mut self, version: u16) -> Hello {
        self.client_version = version;
        self
    }

    pub(crate) fn record_version(mut self, version: u16) -> Hello {
        self.record_version = version;
        self
    }

    /// Bytes after the extension block, counted in the handshake length.
    pub(crate) fn tail(mut self, tail: &[u8]) -> Hello {
        self.tail = tail.to_vec();
        self
    }

    /// Fills the message (handshake header included) up to this many bytes with a padding
    /// extension, unless less than its header is missing.
    pub(crate) fn padded_to(mut self, message: usize) -> Hello {
        self.padded_to = message;
        self
    }

    /// Handshake header and message.
    pub(crate) fn message(&self) -> Vec<u8> {
        let bare = self.message_with(None);
        match self.padded_to.checked_sub(bare.len() + 4) {
            Some(padding) => self.message_with(Some(padding)),
            None => bare,
        }
    }

    fn message_with(&self, padding: Option<usize>) -> Vec<u8> {
        let mut body = self.client_version.to_be_bytes().to_vec();
        body.extend(0..32u8);
        body.extend(vec8(&self.session_id));
        body.extend(vec16(&self.ciphers));
        body.extend(vec8(&self.compression));
        if let Some(extensions) = &self.extensions {
            let padding = padding.map(|len| (PADDING, vec![0; len]));
            let mut block = Vec::new();
            for (kind, content) in extensions.iter().chain(&padding) {
                block.extend(kind.to_be_bytes());
                block.extend(vec16(content));
            }
            body.extend(vec16(&block));
        }
        body.extend(&self.tail);
        handshake(1, &body)
    }

    /// On the wire: one record, or as few as can hold it.
    pub(crate) fn wire(&self) -> Vec<u8> {
        self.wire_in_records_of(MAX_RECORD)
    }

    /// On the wire, in records of `payload` bytes (the last may be shorter).
    pub(crate) fn wire_in_records_of(&self, payload: usize) -> Vec<u8> {
        records(22, self.record_version, &self.message(), payload)
    }

    fn block(&mut self) -> &mut Vec<(u16, Vec<u8>)> {
        self.extensions.get_or_insert_default()
    }
}

/// server_name's content: a list of (type, name).
pub(crate) fn sni(names: &[(u8, &[u8])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (kind, name) in names {
        list.push(*kind);
        list.extend(vec16(name));
    }
    vec16(&list)
}

/// A handshake message of any type.
pub(crate) fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = (body.len() as u32).to_be_bytes().to_vec();
    message[0] = kind;
    message.extend(body);
    message
}

/// One record of any type and version.
pub(crate) fn record(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend(version.to_be_bytes());
    record.extend(vec16(payload));
    record
}

/// Bytes spread over records of `payload` bytes.
pub(crate) fn records(kind: u8, version: u16, bytes: &[u8], payload: usize) -> Vec<u8> {
    bytes
        .chunks(payload)
        .flat_map(|chunk| record(kind, version, chunk))
        .collect()
}

pub(crate) fn u16s(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

pub(crate) fn vec8(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(bytes.len()).unwrap()];
    out.extend(bytes);
    out
}

pub(crate) fn vec16(bytes: &[u8]) -> Vec<u8> {
    let mut out = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    out.extend(bytes);
    out
}
