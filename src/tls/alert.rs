//! The alerts the hub sends (RFC 8446 section 6.2).

/// A fatal alert, by its RFC 8446 name and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Alert {
    /// 22
    RecordOverflow = 22,
    /// 49
    AccessDenied = 49,
    /// 50
    DecodeError = 50,
    /// 80
    InternalError = 80,
    /// 112 (RFC 6066 section 3)
    UnrecognizedName = 112,
}

impl Alert {
    /// The whole record: alert (21), version 3.3, length 2, level fatal (2), code.
    pub fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, self as u8]
    }
}
