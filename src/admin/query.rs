//! The part of a request after `?`.

/// Keys and values that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `key=value&key=value`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn parse(text: &str) -> Result<Query, String> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(key)?, decode(value)?))
        });
        let pairs: Option<Vec<_>> = decoded.collect();
        pairs
            .map(Query)
            .ok_or_else(|| "the query is not percent-encoded UTF-8".to_owned())
    }

    /// The value of a key.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == key)?;
        Some(self.0.swap_remove(place).1)
    }

    /// The same, as a number.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<usize>, String> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{key} is not a number")),
        }
    }

    /// The same, `true` or `false`; missing is false.
    pub(super) fn truth(&mut self, key: &str) -> Result<bool, String> {
        match self.take(key).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(format!("{key} is not true or false")),
        }
    }

    /// Nothing is left: a key that means nothing is a mistake.
    pub(super) fn end(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(format!("{key:?} is no parameter of this, or given twice")),
        }
    }
}

/// Percent-encoding (RFC 3986 section 2.1); a `+` is a `+`.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest
            .get(..2)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// The same the other way: everything but letters, digits and `-._~`.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back() {
        for text in ["*.a.org", "(no name)", "a:80-81#2", "ü&=%+", ""] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
        for wrong in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_unknown_key_is_a_mistake() {
        let mut query = Query::parse("allow_shrink=true&x=1").unwrap();
        assert_eq!(query.truth("allow_shrink"), Ok(true));
        assert!(query.end().unwrap_err().contains("\"x\""));
        let mut twice = Query::parse("limit=1&limit=2").unwrap();
        assert_eq!(twice.number("limit"), Ok(Some(1)));
        assert!(twice.end().is_err());
        assert!(
            Query::parse("allow_shrink=yes")
                .unwrap()
                .truth("allow_shrink")
                .is_err()
        );
    }
}
