//! A cursor over one TLS structure: every read is bounded by what is left of it.

/// What is left to read of a structure. Reads past the end give `None` and change nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { left: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&byte, rest) = self.left.split_first()?;
        self.left = rest;
        Some(byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        let (bytes, rest) = self.left.split_first_chunk::<2>()?;
        self.left = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.left.split_at_checked(len)?;
        self.left = rest;
        Some(bytes)
    }

    /// A vector with a one-byte length (RFC 8446 section 3.4).
    pub(super) fn vec8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    /// A vector with a two-byte length (RFC 8446 section 3.4).
    pub(super) fn vec16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_network_order_and_never_past_the_end() {
        let mut r = Reader::new(&[1, 2, 3, 2, 9, 8, 0, 1, 7]);
        assert_eq!(r.u8(), Some(1));
        assert_eq!(r.u16(), Some(0x0203));
        assert_eq!(r.vec8(), Some(&[9, 8][..]));
        assert_eq!(r.vec16(), Some(&[7][..]));
        assert!(r.is_empty());
        assert_eq!((r.u8(), r.u16(), r.take(1)), (None, None, None));
        assert_eq!(r.take(0), Some(&[][..]));
    }

    #[test]
    fn a_length_past_the_end_is_none() {
        assert_eq!(Reader::new(&[3, 1, 2]).vec8(), None);
        assert_eq!(Reader::new(&[0, 3, 1, 2]).vec16(), None);
        assert_eq!(Reader::new(&[0]).vec16(), None);
    }
}
