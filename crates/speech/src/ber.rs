//! The part of BER (X.690) that LDAP and SNMP use: low tags, definite lengths. It looks at one element at a time and never
//! calls itself, so that elements within elements cost nothing that was not asked for.

use crate::binary::Fields;

/// One element: its tag, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// Class, form and number, as sent.
    pub tag: u8,
    /// The content.
    pub content: Fields<'a>,
}

/// Tag, bytes of the header, and bytes of the content, of the element that begins here; `None` where its header is not whole.
/// Lengths of more than four bytes, and indefinite ones, are `Some(None)`: no element.
pub fn header(bytes: &[u8]) -> Option<Option<(u8, usize, usize)>> {
    let mut fields = Fields(bytes);
    let (tag, first) = (fields.byte()?, fields.byte()?);
    if tag & 0x1f == 0x1f {
        return Some(None);
    }
    match first {
        0..=0x7f => Some(Some((tag, 2, usize::from(first)))),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let length = fields.take(count)?.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
            Some(Some((tag, 2 + count, length)))
        }
        _ => Some(None),
    }
}

/// Takes the next element; `None`, taking nothing, where it is not there whole.
pub fn element<'a>(fields: &mut Fields<'a>) -> Option<Element<'a>> {
    let (tag, head, length) = header(fields.0)??;
    let mut after = *fields;
    after.take(head)?;
    let content = Fields(after.take(length)?);
    *fields = after;
    Some(Element { tag, content })
}

/// Takes the next element if it has that tag, and gives its content.
pub fn expect<'a>(fields: &mut Fields<'a>, tag: u8) -> Option<Fields<'a>> {
    let mut after = *fields;
    let element = element(&mut after).filter(|e| e.tag == tag)?;
    *fields = after;
    Some(element.content)
}

/// Takes an INTEGER (or, with their tags, an ENUMERATED, a Counter …) of at most eight bytes.
pub fn integer(fields: &mut Fields, tag: u8) -> Option<i64> {
    let mut after = *fields;
    let content = expect(&mut after, tag)?.0;
    if content.is_empty() || content.len() > 8 {
        return None;
    }
    *fields = after;
    let sign = if content[0] & 0x80 == 0 { 0 } else { -1 };
    Some(content.iter().fold(sign, |n, b| n << 8 | i64::from(*b)))
}

/// An object identifier's content as `1.3.6.1`; `None` where it is empty, ends in the middle of a number or has one that no
/// identifier has (RFC 2578 allows 32 bits and 128 numbers).
pub fn identifier(content: &[u8]) -> Option<String> {
    let mut numbers: Vec<u32> = Vec::new();
    let (mut number, mut open) = (0u32, false);
    for byte in content {
        if number > u32::MAX >> 7 || numbers.len() >= 128 {
            return None;
        }
        number = number << 7 | u32::from(byte & 0x7f);
        open = byte & 0x80 != 0;
        if !open {
            numbers.push(std::mem::take(&mut number));
        }
    }
    let first = *numbers.first()?;
    let top = (first / 40).min(2);
    numbers[0] = first - 40 * top;
    let rest = numbers.iter().map(|n| format!(".{n}")).collect::<String>();
    (!open).then(|| format!("{top}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short_or_long() {
        assert_eq!(header(&[0x30, 0x7f]), Some(Some((0x30, 2, 127))));
        assert_eq!(header(&[0x30, 0x82, 1, 0]), Some(Some((0x30, 4, 256))));
        assert_eq!(header(&[0x30, 0x82, 1]), None);
        assert_eq!(header(&[0x30, 0x80]), Some(None));
        let mut short = Fields(&[4, 3, b'a', b'b']);
        assert!(element(&mut short).is_none() && short.0.len() == 4);
    }

    /// X.690, 8.19.5: `{2 999 3}`; and the examples for integers that fill their bytes.
    #[test]
    fn identifiers_and_integers() {
        assert_eq!(identifier(&[0x88, 0x37, 0x03]).as_deref(), Some("2.999.3"));
        assert_eq!(identifier(&[0x2b, 6, 1, 2, 1, 1, 1, 0]).as_deref(), Some("1.3.6.1.2.1.1.1.0"));
        assert_eq!(identifier(&[0x2b, 0x86]), None);
        assert_eq!(integer(&mut Fields(&[2, 1, 0x80]), 2), Some(-128));
        assert_eq!(integer(&mut Fields(&[2, 2, 0, 0x80]), 2), Some(128));
        assert_eq!(integer(&mut Fields(&[2, 0]), 2), None);
    }
}
