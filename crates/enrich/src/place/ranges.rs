//! Ranges of addresses, each with one text: a country's code, or a network's number and name.
//!
//! A list of ranges is a quarter of the size of the same facts as a MaxMind DB, is read five times as fast, and is
//! looked up by halving. The embedded database and the one of network numbers are kept in this form:
//!
//! ```text
//! "trapline ranges 1\n"                            then, all of it packed with xz:
//! kind            text                             "country" or "asn"
//! built           number                           seconds since 1970
//! attribution     text                             what an answer owes to those who made it
//! values          number, then so many texts       the first one is empty: nothing is known
//! IPv4, IPv6      number of changes, then three columns, each of so many:
//!                 odd parts of the steps (number)  a change lies odd part << shift behind the one before
//!                 shifts (byte)
//!                 values (number)                  what holds from there to the next change
//! ```
//!
//! A number has seven bits in each byte, the lowest first, and the highest bit where more follow (LEB128). A text is its
//! length in bytes and UTF-8.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::IpAddr;

use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

const MAGIC: &[u8] = b"trapline ranges 1\n";

/// Unpacked bytes, and memory to unpack them with; the largest list that is made today, the one of networks, has 7 MB.
const MAX_UNPACKED: u64 = 128 << 20;

/// Changes in one family; the largest list today has half a million. A full table of routes has a million.
const MAX_CHANGES: u64 = 4 << 20;

/// Texts; there are about 80,000 networks.
const MAX_VALUES: u64 = 1 << 20;

/// A list of ranges, in memory.
#[derive(Debug)]
pub struct Ranges {
    /// `country` or `asn`.
    pub kind: String,
    /// Seconds since 1970.
    pub built_s: u64,
    /// What an answer owes to those who made it.
    pub attribution: String,
    values: Vec<String>,
    v4: Changes<u32>,
    v6: Changes<u128>,
}

/// From each start to the next one, a value holds.
#[derive(Debug)]
struct Changes<A> {
    starts: Vec<A>,
    values: Vec<u32>,
}

impl<A: Ord> Changes<A> {
    fn value_at(&self, address: A) -> u32 {
        let after = self.starts.partition_point(|start| *start <= address);
        after.checked_sub(1).and_then(|at| self.values.get(at)).copied().unwrap_or(0)
    }
}

impl Ranges {
    /// Whether bytes begin like such a list.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// What is said about an address.
    pub fn find(&self, address: IpAddr) -> Option<&str> {
        let value = match address {
            IpAddr::V4(v4) => self.v4.value_at(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.value_at(v6.to_bits()),
        };
        self.values.get(value as usize).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Whether it says anything about each family, IPv4 and IPv6.
    pub fn families(&self) -> (bool, bool) {
        (!self.v4.starts.is_empty(), !self.v6.starts.is_empty())
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When the bytes are no such list, end early or are larger than any real one.
    pub fn unpack(bytes: &[u8]) -> io::Result<Ranges> {
        let packed = bytes.strip_prefix(MAGIC).ok_or_else(|| damaged("it does not begin like one"))?;
        let mut plain = Vec::new();
        let xz = Stream::new_stream_decoder(MAX_UNPACKED, 0)?;
        let mut limited = XzDecoder::new_stream(packed, xz).take(MAX_UNPACKED);
        limited.read_to_end(&mut plain)?;
        let mut plain = plain.as_slice();
        let ranges = Ranges {
            kind: text(&mut plain)?,
            built_s: number(&mut plain)?,
            attribution: text(&mut plain)?,
            values: texts(&mut plain)?,
            v4: changes(&mut plain, |start| u32::try_from(start).ok())?,
            v6: changes(&mut plain, Some)?,
        };
        if plain.is_empty() { Ok(ranges) } else { Err(damaged("something follows its end")) }
    }
}

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn number(bytes: &mut &[u8]) -> io::Result<u64> {
    u64::try_from(long_number(bytes)?).map_err(|_| damaged("a number is too large"))
}

/// A step between two IPv6 addresses needs 128 bits.
fn long_number(bytes: &mut &[u8]) -> io::Result<u128> {
    let mut value = 0_u128;
    for place in 0..19 {
        let byte = one(bytes)?;
        let bits = u128::from(byte & 0x7f);
        let moved = bits << (7 * place);
        if moved >> (7 * place) != bits {
            break;
        }
        value |= moved;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damaged("a number is too large"))
}

fn one(bytes: &mut &[u8]) -> io::Result<u8> {
    let (first, rest) = bytes.split_first().ok_or_else(|| damaged("it ends early"))?;
    *bytes = rest;
    Ok(*first)
}

fn text(bytes: &mut &[u8]) -> io::Result<String> {
    let length = usize::try_from(number(bytes)?).map_err(|_| damaged("a text is too long"))?;
    let (text, rest) = bytes.split_at_checked(length).ok_or_else(|| damaged("it ends early"))?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).map_err(|_| damaged("a text is not UTF-8"))
}

fn count(bytes: &mut &[u8], most: u64) -> io::Result<u64> {
    let count = number(bytes)?;
    // Each thing takes a byte at least, so a wrong count asks for no more memory than there are bytes.
    if count > most || count > bytes.len() as u64 { Err(damaged("it counts too many")) } else { Ok(count) }
}

fn texts(bytes: &mut &[u8]) -> io::Result<Vec<String>> {
    let count = count(bytes, MAX_VALUES)?;
    (0..count).map(|_| text(bytes)).collect()
}

fn changes<A: Ord + Copy>(bytes: &mut &[u8], narrow: fn(u128) -> Option<A>) -> io::Result<Changes<A>> {
    let count = count(bytes, MAX_CHANGES)?;
    let odd_parts = (0..count).map(|_| long_number(bytes)).collect::<io::Result<Vec<_>>>()?;
    let mut starts = Vec::with_capacity(odd_parts.len());
    let mut start = 0_u128;
    for odd in odd_parts {
        let shift = u32::from(one(bytes)?);
        let step = odd.checked_shl(shift).filter(|step| step >> shift == odd);
        let next =
            step.and_then(|step| start.checked_add(step)).ok_or_else(|| damaged("a step is too long"))?;
        start = next;
        starts.push(narrow(start).ok_or_else(|| damaged("an address is too large"))?);
    }
    let value =
        |bytes: &mut &[u8]| u32::try_from(number(bytes)?).map_err(|_| damaged("a value is too large"));
    let values = (0..count).map(|_| value(bytes)).collect::<io::Result<Vec<_>>>()?;
    Ok(Changes { starts, values })
}

/// Makes such a list: ranges in the order of their addresses, then [`Builder::pack`].
#[derive(Debug)]
pub struct Builder {
    values: Vec<String>,
    known: HashMap<String, u32>,
    v4: Column,
    v6: Column,
}

/// The changes of one family. The range that was added last ends before `end`; none means at the end of all addresses.
#[derive(Debug, Default)]
struct Column {
    changes: Vec<(u128, u32)>,
    end: Option<u128>,
}

impl Column {
    fn add(&mut self, first: u128, last: u128, value: u32) -> bool {
        let expected = if self.changes.is_empty() { Some(0) } else { self.end };
        let Some(end) = expected.filter(|end| *end <= first && first <= last) else {
            return false;
        };
        if end < first {
            self.change(end, 0);
        }
        self.change(first, value);
        self.end = last.checked_add(1);
        true
    }

    fn change(&mut self, at: u128, value: u32) {
        if self.changes.last().is_none_or(|(_, last)| *last != value) {
            self.changes.push((at, value));
        }
    }

    /// What follows the last range: nothing known, where there are addresses left.
    fn close(&mut self, all_bits: u32) {
        let beyond = |end: u128| end.checked_shr(all_bits).unwrap_or(0) > 0;
        if let Some(end) = self.end.filter(|end| !beyond(*end)) {
            self.change(end, 0);
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, self.changes.len() as u128);
        let mut before = 0;
        let mut shifts = Vec::with_capacity(self.changes.len());
        for (start, _) in &self.changes {
            let step = start - before;
            let shift = if step == 0 { 0 } else { step.trailing_zeros() };
            put(out, step >> shift);
            // A step has 128 bits.
            shifts.push(shift as u8);
            before = *start;
        }
        out.extend(shifts);
        self.changes.iter().for_each(|(_, value)| put(out, u128::from(*value)));
    }
}

impl Default for Builder {
    fn default() -> Builder {
        let known = HashMap::from([(String::new(), 0)]);
        Builder { values: vec![String::new()], known, v4: Column::default(), v6: Column::default() }
    }
}

impl Builder {
    /// Adds a range, its last address included. False where it is not of one family, is backwards, or begins before
    /// the end of the one before: it is left out.
    pub fn add(&mut self, first: IpAddr, last: IpAddr, value: &str) -> bool {
        let (column, first, last) = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                (&mut self.v4, u128::from(first.to_bits()), u128::from(last.to_bits()))
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => (&mut self.v6, first.to_bits(), last.to_bits()),
            _ => return false,
        };
        let next = self.values.len() as u32;
        let value = *self.known.entry(value.to_owned()).or_insert_with(|| {
            self.values.push(value.to_owned());
            next
        });
        column.add(first, last, value)
    }

    /// The list's bytes, as [`Ranges::unpack`] reads them.
    ///
    /// # Errors
    /// When xz cannot work, for want of memory.
    pub fn pack(mut self, kind: &str, built_s: u64, attribution: &str) -> io::Result<Vec<u8>> {
        self.v4.close(32);
        self.v6.close(128);
        let mut plain = Vec::new();
        put_text(&mut plain, kind);
        put(&mut plain, u128::from(built_s));
        put_text(&mut plain, attribution);
        put(&mut plain, self.values.len() as u128);
        self.values.iter().for_each(|value| put_text(&mut plain, value));
        self.v4.write(&mut plain);
        self.v6.write(&mut plain);
        let mut xz = liblzma::write::XzEncoder::new(MAGIC.to_vec(), 6);
        xz.write_all(&plain)?;
        xz.finish()
    }
}

/// The countries of a MaxMind DB as such a list, packed. Addresses that are nowhere are left out.
///
/// # Errors
/// When the bytes are no MaxMind DB of countries.
pub fn of_countries(mmdb: &[u8], attribution: &str) -> io::Result<Vec<u8>> {
    let failed = |why: maxminddb::MaxMindDbError| io::Error::new(io::ErrorKind::InvalidData, why);
    let reader = maxminddb::Reader::from_source(mmdb).map_err(failed)?;
    let mut builder = Builder::default();
    for found in reader.networks(maxminddb::WithinOptions::default()).map_err(failed)? {
        let found = found.map_err(failed)?;
        let nested = &maxminddb::path!["country", "iso_code"];
        let country = match found.decode_path::<&str>(&maxminddb::path!["country_code"]).map_err(failed)? {
            Some(code) => Some(code),
            None => found.decode_path::<&str>(nested).map_err(failed)?,
        };
        let network = found.network().map_err(failed)?;
        let country = country.and_then(super::Country::read);
        if let Some(country) = country.filter(|_| !super::special::is_special(network.network())) {
            builder.add(network.network(), network.broadcast(), country.as_str());
        }
    }
    builder.pack("country", reader.metadata().build_epoch, attribution)
}

fn put(out: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u128);
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A list of ranges written as `first last value`.
    fn list(ranges: &[(&str, &str, &str)]) -> Ranges {
        let mut builder = Builder::default();
        for (first, last, value) in ranges {
            assert!(builder.add(ip(first), ip(last), value), "{first}");
        }
        Ranges::unpack(&builder.pack("country", 1_000_000_000, "by nobody").unwrap()).unwrap()
    }

    #[test]
    fn what_was_put_in_is_found_and_nothing_beside_it() {
        let list = list(&[
            ("5.0.0.0", "5.0.0.255", "FR"),
            ("5.0.1.0", "5.0.1.0", "DE"),
            ("255.255.255.255", "255.255.255.255", "US"),
            ("2001:660::", "2001:660:ffff:ffff:ffff:ffff:ffff:ffff", "FR"),
            ("ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "US"),
        ]);
        let check = |address, expected| assert_eq!(list.find(ip(address)), expected, "{address}");
        check("0.0.0.0", None);
        check("4.255.255.255", None);
        check("5.0.0.0", Some("FR"));
        check("5.0.0.255", Some("FR"));
        check("5.0.1.0", Some("DE"));
        check("5.0.1.1", None);
        check("255.255.255.254", None);
        check("255.255.255.255", Some("US"));
        check("2001:65f:ffff:ffff:ffff:ffff:ffff:ffff", None);
        check("2001:660::1", Some("FR"));
        check("2001:661::", None);
        check("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("US"));
        assert_eq!((list.kind.as_str(), list.built_s), ("country", 1_000_000_000));
        assert_eq!(list.attribution, "by nobody");
    }

    #[test]
    fn nothing_is_known_behind_the_last_range() {
        let list = list(&[("200.0.0.0", "200.0.0.255", "BR"), ("f000::", "f000::ff", "BR")]);
        assert_eq!(list.find(ip("200.0.0.255")), Some("BR"));
        assert_eq!(list.find(ip("200.0.1.0")), None);
        assert_eq!(list.find(ip("f000::ff")), Some("BR"));
        assert_eq!(list.find(ip("f000::100")), None);
    }

    #[test]
    fn an_empty_list_knows_nothing() {
        let list = list(&[]);
        assert_eq!(list.find(ip("0.0.0.0")), None);
        assert_eq!(list.families(), (false, false));
    }

    #[test]
    fn ranges_out_of_order_are_left_out() {
        let mut builder = Builder::default();
        assert!(builder.add(ip("5.0.0.0"), ip("5.0.0.9"), "FR"));
        assert!(!builder.add(ip("5.0.0.9"), ip("5.0.0.20"), "DE"));
        assert!(!builder.add(ip("5.0.0.30"), ip("5.0.0.20"), "DE"));
        assert!(!builder.add(ip("5.0.0.30"), ip("2001::"), "DE"));
        assert!(builder.add(ip("5.0.0.10"), ip("255.255.255.255"), "DE"));
        assert!(!builder.add(ip("255.255.255.255"), ip("255.255.255.255"), "FR"));
    }

    proptest! {
        /// Against the plain way: look at every range.
        #[test]
        fn any_ranges_are_found_again(
            steps in prop::collection::vec((0_u32..40, 1_u32..40, 0_usize..3), 0..40),
            asked in prop::collection::vec(0_u32..4000, 0..50),
        ) {
            let mut builder = Builder::default();
            let mut plain = Vec::new();
            let mut at = 0;
            for (gap, length, value) in steps {
                let (first, last) = (at + gap, at + gap + length - 1);
                let value = ["FR", "DE", "US"][value];
                let address = |bits: u32| IpAddr::V4(bits.into());
                prop_assert!(builder.add(address(first), address(last), value));
                plain.push((first..=last, value));
                at = last + 1;
            }
            let list = Ranges::unpack(&builder.pack("country", 0, "").unwrap()).unwrap();
            for address in asked {
                let expected = plain.iter().find(|(range, _)| range.contains(&address)).map(|(_, value)| *value);
                prop_assert_eq!(list.find(IpAddr::V4(address.into())), expected);
            }
        }

        /// Behind xz, which has a checksum, so that the mutations get through.
        #[test]
        fn damage_is_an_error_or_another_list_and_never_a_panic(
            at in 0_usize..60, byte in any::<u8>(), cut in 0_usize..60,
        ) {
            let mut builder = Builder::default();
            builder.add(ip("5.0.0.0"), ip("5.0.0.255"), "FR");
            builder.add(ip("2001:660::"), ip("2001:661::"), "DE");
            let packed = builder.pack("country", 7, "by nobody").unwrap();
            let mut plain = Vec::new();
            XzDecoder::new(&packed[MAGIC.len()..]).read_to_end(&mut plain).unwrap();
            let at = at % plain.len();
            plain[at] = byte;
            plain.truncate(plain.len() - cut % plain.len());
            let mut again = liblzma::write::XzEncoder::new(MAGIC.to_vec(), 0);
            again.write_all(&plain).unwrap();
            if let Ok(list) = Ranges::unpack(&again.finish().unwrap()) {
                list.find(ip("5.0.0.1"));
                list.find(ip("2001:660::1"));
            }
        }
    }

    #[test]
    fn other_bytes_and_every_shorter_list_are_errors() {
        assert!(Ranges::unpack(b"").is_err());
        assert!(Ranges::unpack(b"trapline ranges 2\n").is_err());
        let mut builder = Builder::default();
        builder.add(ip("5.0.0.0"), ip("5.0.0.255"), "FR");
        let packed = builder.pack("country", 7, "").unwrap();
        for length in 0..packed.len() {
            assert!(Ranges::unpack(&packed[..length]).is_err(), "{length} of {} bytes", packed.len());
        }
    }
}
