//! Rows of intake to Arrow columns and back, in the order of [`crate::schema`]'s declarations.

use std::fmt::{Display, Write};
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{Int16Type, Int32Type, Int64Type, TimestampMicrosecondType};
use trapline_intake::address::Address;
use trapline_intake::classify::Counts;
use trapline_intake::derive::{Session, Source, Totals};
use trapline_intake::marks::Marks;
use trapline_intake::platform::{Opening, Platform};
use trapline_intake::rows::{
    FirstFlags, Place, PortText, Probe, ProbeKey, Reply, ReplyKey, Response, ResponseKey, ResponseKind,
};
use trapline_intake::survey::{CaptureId, Survey};

use crate::StoreError;
use crate::schema::{CAPTURES, HOSTS, OPENINGS, PROBES, REPLIES, RESPONSES, SESSIONS, SOURCES, Table};

/// A UTC day as text, `2003-08-11`.
pub fn day_text(day: i32) -> String {
    let epoch = NaiveDate::default();
    let date = if day >= 0 {
        epoch.checked_add_days(Days::new(day as u64))
    } else {
        epoch.checked_sub_days(Days::new(u64::from(day.unsigned_abs())))
    };
    date.unwrap_or(epoch).format("%Y-%m-%d").to_string()
}

/// Reads [`day_text`] back.
pub fn parse_day(text: &str) -> Option<i32> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// A time as RFC 3339 text in UTC with microseconds.
pub fn time_text(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn micros(ns: i64) -> i64 {
    ns.div_euclid(1000)
}

fn rest(ns: i64) -> i16 {
    ns.rem_euclid(1000) as i16
}

pub(crate) fn batch(table: &'static Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, StoreError> {
    Ok(RecordBatch::try_new(table.file_schema(), columns)?)
}

pub(crate) fn text<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// Values by their `Display`, written straight into the column.
pub(crate) fn shown<T: Display>(values: impl Iterator<Item = T>) -> ArrayRef {
    let mut column = StringBuilder::new();
    for value in values {
        let _ = write!(column, "{value}");
        column.append_value("");
    }
    Arc::new(column.finish())
}

/// [`shown`] for values that may be missing.
pub(crate) fn maybe_shown<T: Display>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    let mut column = StringBuilder::new();
    for value in values {
        match value {
            Some(value) => {
                let _ = write!(column, "{value}");
                column.append_value("");
            }
            None => column.append_null(),
        }
    }
    Arc::new(column.finish())
}

pub(crate) fn maybe_text<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

pub(crate) fn shorts(values: impl Iterator<Item = i16>) -> ArrayRef {
    Arc::new(Int16Array::from_iter_values(values))
}

pub(crate) fn ints(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

pub(crate) fn longs(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|v| v as i64)))
}

pub(crate) fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.map(micros)).with_timezone("UTC"))
}

pub(crate) fn maybe_times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.map(|v| v.map(micros)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

pub(crate) fn bools(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<BooleanArray>())
}

/// The columns of a span: first and last, each with its nanoseconds.
pub(crate) fn span(values: impl Iterator<Item = (i64, i64)> + Clone) -> [ArrayRef; 4] {
    [
        times(values.clone().map(|v| v.0)),
        shorts(values.clone().map(|v| rest(v.0))),
        times(values.clone().map(|v| v.1)),
        shorts(values.map(|v| rest(v.1))),
    ]
}

fn port_columns<'a>(keys: impl Iterator<Item = &'a ProbeKey> + Clone) -> [ArrayRef; 3] {
    [
        shorts(keys.clone().map(|k| i16::from(k.protocol))),
        Arc::new(keys.clone().map(|k| k.number.map(i32::from)).collect::<Int32Array>()),
        shown(keys.map(|k| PortText(k.protocol, k.number))),
    ]
}

/// Whether a probe's port was open: known from the platform's history at its first packet, or observed.
pub fn openness(platform: &Platform, probe: &Probe) -> Option<&'static str> {
    let host = &platform.hosts[usize::from(probe.key.host)];
    let number = probe.key.number?;
    if host.has_history {
        let at = probe.first.time;
        let covers = |o: &Opening| {
            o.port.number == number
                && o.port.protocol == probe.key.protocol
                && o.opened.is_none_or(|t| t <= at)
                && o.closed.is_none_or(|t| at < t)
        };
        return host.openings.iter().any(covers).then_some("known");
    }
    probe.first_answer.map(|_| "observed")
}

/// Columns of `probes`.
pub fn probes(platform: &Platform, rows: &[Probe]) -> Result<RecordBatch, StoreError> {
    let host = |p: &Probe| platform.hosts[usize::from(p.key.host)].name.as_str();
    let mut columns = vec![shown(rows.iter().map(|p| p.key.peer)), text(rows.iter().map(host))];
    columns.extend(port_columns(rows.iter().map(|p| &p.key)));
    columns.extend(span(rows.iter().map(|p| (p.first.time, p.last))));
    columns.push(longs(rows.iter().map(|p| p.packets)));
    columns.push(longs(rows.iter().map(|p| p.bytes)));
    columns.push(longs(rows.iter().map(|p| p.backscatter)));
    columns.extend((0..6).map(|bit| longs(rows.iter().map(move |p| u64::from(p.flag_counts[bit])))));
    columns.push(shown(rows.iter().map(|p| p.first_flags)));
    columns.push(longs(rows.iter().map(|p| p.payload_packets)));
    columns.push(longs(rows.iter().map(|p| p.payload_bytes)));
    columns.push(maybe_shown(rows.iter().map(|p| p.first_payload.map(|(_, hash)| Hex(hash)))));
    columns.push(maybe_times(rows.iter().map(|p| p.first_answer)));
    columns.push(Arc::new(rows.iter().map(|p| p.first_answer.map(rest)).collect::<Int16Array>()));
    columns.push(maybe_text(rows.iter().map(|p| openness(platform, p))));
    columns.push(shown(rows.iter().map(|p| CaptureId(p.first.capture))));
    columns.push(longs(rows.iter().map(|p| p.first.frame)));
    columns.push(maybe_shown(rows.iter().map(|p| Some(p.marks).filter(|m| m.syns > 0))));
    batch(&PROBES, columns)
}

/// Bytes as hexadecimal digits.
pub(crate) struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Display for Hex<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in self.0 {
            f.write_char(char::from(DIGITS[usize::from(byte >> 4)]))?;
            f.write_char(char::from(DIGITS[usize::from(byte & 15)]))?;
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes())
}

/// Columns of a batch, taken by name.
pub(crate) struct Columns<'a>(pub &'a RecordBatch);

impl Columns<'_> {
    pub fn get(&self, name: &str) -> &ArrayRef {
        self.0.column_by_name(name).expect("the file was written by this declaration")
    }

    pub fn text(&self, name: &str, row: usize) -> &str {
        self.get(name).as_string::<i32>().value(row)
    }

    pub fn maybe_text(&self, name: &str, row: usize) -> Option<&str> {
        let column = self.get(name).as_string::<i32>();
        (!column.is_null(row)).then(|| column.value(row))
    }

    pub fn long(&self, name: &str, row: usize) -> u64 {
        self.get(name).as_primitive::<Int64Type>().value(row) as u64
    }

    pub fn time(&self, name: &str, row: usize) -> i64 {
        let rest = self.get(&format!("{name}_ns")).as_primitive::<Int16Type>().value(row);
        self.get(name).as_primitive::<TimestampMicrosecondType>().value(row) * 1000 + i64::from(rest)
    }

    fn maybe_time(&self, name: &str, row: usize) -> Option<i64> {
        (!self.get(name).is_null(row)).then(|| self.time(name, row))
    }

    fn address(&self, name: &str, row: usize) -> Option<Address> {
        self.text(name, row).parse::<IpAddr>().ok().map(Address::from)
    }

    /// The row's host; `None` where the platform has it no more.
    pub fn host(&self, platform: &Platform, row: usize) -> Option<u16> {
        let name = self.text("host", row);
        platform.hosts.iter().position(|h| h.name == name).map(|i| i as u16)
    }

    pub fn protocol(&self, row: usize) -> u8 {
        self.get("protocol").as_primitive::<Int16Type>().value(row) as u8
    }

    fn probe_key(&self, platform: &Platform, row: usize) -> Option<ProbeKey> {
        let number = self.get("number").as_primitive::<Int32Type>();
        Some(ProbeKey {
            peer: self.address("ip", row)?,
            host: self.host(platform, row)?,
            protocol: self.protocol(row),
            number: (!number.is_null(row)).then(|| number.value(row) as u16),
        })
    }
}

/// Reads columns of `probes` back.
pub fn read_probes(platform: &Platform, rows: &RecordBatch) -> Vec<Probe> {
    let columns = Columns(rows);
    let one = |row| {
        let first = Place {
            time: columns.time("first_seen", row),
            capture: u64::from_str_radix(columns.text("first_capture", row), 16).ok()?,
            frame: columns.long("first_frame", row),
        };
        let flags = ["fin", "syn", "rst", "psh", "ack", "urg"];
        Some(Probe {
            key: columns.probe_key(platform, row)?,
            first,
            last: columns.time("last_seen", row),
            packets: columns.long("packets", row),
            bytes: columns.long("bytes", row),
            backscatter: columns.long("backscatter", row),
            flag_counts: flags.map(|f| columns.long(f, row) as u32),
            first_flags: FirstFlags::parse(columns.text("first_flags", row)),
            marks: columns.maybe_text("marks", row).map(Marks::parse).unwrap_or_default(),
            payload_packets: columns.long("payload_packets", row),
            payload_bytes: columns.long("payload_bytes", row),
            // The payload's own place is not kept; the row's is earlier than any that is still to come.
            first_payload: columns.maybe_text("first_payload", row).and_then(unhex).map(|hash| (first, hash)),
            first_answer: columns.maybe_time("first_answer", row),
        })
    };
    (0..rows.num_rows()).filter_map(one).collect()
}

/// The name of a response kind.
pub fn response_text(kind: ResponseKind) -> String {
    match kind {
        ResponseKind::SynAck => "SYN/ACK".into(),
        ResponseKind::Rst => "RST".into(),
        ResponseKind::RstAck => "RST/ACK".into(),
        ResponseKind::Icmp(kind) => format!("ICMP {kind}"),
        ResponseKind::Icmpv6(kind) => format!("ICMPv6 {kind}"),
        ResponseKind::Udp(port) => format!("UDP {port}"),
    }
}

fn parse_response(text: &str) -> Option<ResponseKind> {
    Some(match text {
        "SYN/ACK" => ResponseKind::SynAck,
        "RST" => ResponseKind::Rst,
        "RST/ACK" => ResponseKind::RstAck,
        other => match other.split_once(' ')? {
            ("ICMP", kind) => ResponseKind::Icmp(kind.parse().ok()?),
            ("ICMPv6", kind) => ResponseKind::Icmpv6(kind.parse().ok()?),
            ("UDP", port) => ResponseKind::Udp(port.parse().ok()?),
            _ => return None,
        },
    })
}

/// Columns of `responses`.
pub fn responses(platform: &Platform, rows: &[Response]) -> Result<RecordBatch, StoreError> {
    let host = |r: &Response| platform.hosts[usize::from(r.key.probe.host)].name.as_str();
    let mut columns = vec![shown(rows.iter().map(|r| r.key.probe.peer)), text(rows.iter().map(host))];
    columns.extend(port_columns(rows.iter().map(|r| &r.key.probe)));
    columns.push(text(rows.iter().map(|r| response_text(r.key.kind))));
    columns.push(bools(rows.iter().map(|r| r.key.solicited)));
    columns.push(shown(rows.iter().map(|r| r.key.victim)));
    columns.push(longs(rows.iter().map(|r| r.packets)));
    columns.extend(span(rows.iter().map(|r| r.span)));
    batch(&RESPONSES, columns)
}

/// Reads columns of `responses` back.
pub fn read_responses(platform: &Platform, rows: &RecordBatch) -> Vec<Response> {
    let columns = Columns(rows);
    let one = |row| {
        let key = ResponseKey {
            probe: columns.probe_key(platform, row)?,
            kind: parse_response(columns.text("response", row))?,
            solicited: columns.get("solicited").as_boolean().value(row),
            victim: columns.address("victim", row)?,
        };
        let span = (columns.time("first_seen", row), columns.time("last_seen", row));
        Some(Response { key, span, packets: columns.long("packets", row) })
    };
    (0..rows.num_rows()).filter_map(one).collect()
}

/// Columns of `replies`.
pub fn replies(platform: &Platform, rows: &[Reply]) -> Result<RecordBatch, StoreError> {
    let host = |r: &Reply| platform.hosts[usize::from(r.key.host)].name.as_str();
    let mut columns = vec![
        shown(rows.iter().map(|r| r.key.peer)),
        text(rows.iter().map(host)),
        shorts(rows.iter().map(|r| i16::from(r.key.protocol))),
        longs(rows.iter().map(|r| r.packets)),
    ];
    columns.extend(span(rows.iter().map(|r| r.span)));
    batch(&REPLIES, columns)
}

/// Reads columns of `replies` back.
pub fn read_replies(platform: &Platform, rows: &RecordBatch) -> Vec<Reply> {
    let columns = Columns(rows);
    let one = |row| {
        let key = ReplyKey {
            peer: columns.address("ip", row)?,
            host: columns.host(platform, row)?,
            protocol: columns.protocol(row),
        };
        let span = (columns.time("first_seen", row), columns.time("last_seen", row));
        Some(Reply { key, span, packets: columns.long("packets", row) })
    };
    (0..rows.num_rows()).filter_map(one).collect()
}

fn totals<'a>(rows: impl Iterator<Item = &'a Totals> + Clone) -> Vec<ArrayRef> {
    let mut columns = Vec::from(span(rows.clone().map(|t| (t.first.time, t.last))));
    columns.push(longs(rows.clone().map(|t| t.packets)));
    columns.push(longs(rows.clone().map(|t| t.bytes)));
    columns.push(longs(rows.clone().map(|t| t.backscatter)));
    columns.push(ints(rows.map(|t| t.ports as i32)));
    columns
}

/// Columns of `sessions`.
pub fn sessions(platform: &Platform, rows: &[Session]) -> Result<RecordBatch, StoreError> {
    let host = |s: &Session| platform.hosts[usize::from(s.host)].name.as_str();
    let mut columns = vec![shown(rows.iter().map(|s| s.peer)), text(rows.iter().map(host))];
    columns.extend(totals(rows.iter().map(|s| &s.totals)));
    columns.push(text(rows.iter().map(|s| s.sequence.as_str())));
    batch(&SESSIONS, columns)
}

/// Columns of `sources`.
pub fn sources(platform: &Platform, rows: &[Source]) -> Result<RecordBatch, StoreError> {
    let order = |s: &Source| {
        let names: Vec<&str> =
            s.hosts.iter().map(|h| platform.hosts[usize::from(*h)].name.as_str()).collect();
        names.join(">")
    };
    let mut columns = vec![shown(rows.iter().map(|s| s.peer))];
    columns.extend(totals(rows.iter().map(|s| &s.totals)));
    columns.push(ints(rows.iter().map(|s| s.hosts.len() as i32)));
    columns.push(text(rows.iter().map(|s| s.sequence.as_str())));
    columns.push(text(rows.iter().map(order)));
    batch(&SOURCES, columns)
}

/// Columns of `hosts`: one row for each address.
pub fn hosts(platform: &Platform) -> Result<RecordBatch, StoreError> {
    let rows: Vec<_> = platform
        .hosts
        .iter()
        .enumerate()
        .flat_map(|(i, h)| h.addresses.iter().map(move |a| (i as i32, h, *a)))
        .collect();
    let columns = vec![
        text(rows.iter().map(|_| platform.name.as_str())),
        text(rows.iter().map(|(_, h, _)| h.name.as_str())),
        shown(rows.iter().map(|(_, _, a)| a)),
        ints(rows.iter().map(|(i, _, _)| *i)),
        maybe_text(rows.iter().map(|(_, h, _)| h.persona.as_deref())),
        bools(rows.iter().map(|(_, h, _)| h.has_history)),
        bools(rows.iter().map(|_| platform.inferred)),
        maybe_text(rows.iter().map(|_| platform.country.as_deref())),
    ];
    batch(&HOSTS, columns)
}

/// Columns of `openings`.
pub fn openings(platform: &Platform) -> Result<RecordBatch, StoreError> {
    let rows: Vec<_> = platform.hosts.iter().flat_map(|h| h.openings.iter().map(move |o| (h, o))).collect();
    let columns = vec![
        text(rows.iter().map(|_| platform.name.as_str())),
        text(rows.iter().map(|(h, _)| h.name.as_str())),
        shorts(rows.iter().map(|(_, o)| i16::from(o.port.protocol))),
        ints(rows.iter().map(|(_, o)| i32::from(o.port.number))),
        shown(rows.iter().map(|(_, o)| PortText(o.port.protocol, Some(o.port.number)))),
        maybe_times(rows.iter().map(|(_, o)| o.opened)),
        maybe_times(rows.iter().map(|(_, o)| o.closed)),
    ];
    batch(&OPENINGS, columns)
}

/// A capture with the counts of its packets.
#[derive(Clone, Debug)]
pub struct CaptureRow {
    /// What its reading showed.
    pub survey: Survey,
    /// Where it can be read again, if anywhere; else only its name.
    pub place: String,
    /// Whether it can be read again there.
    pub kept: bool,
    /// Its packets.
    pub counts: Counts,
}

/// Columns of `captures`.
pub fn captures(platform: &str, rows: &[CaptureRow]) -> Result<RecordBatch, StoreError> {
    let count = |of: fn(&Counts) -> u64| longs(rows.iter().map(move |r| of(&r.counts)));
    let columns = vec![
        text(rows.iter().map(|_| platform)),
        shown(rows.iter().map(|r| r.survey.id())),
        text(rows.iter().map(|r| r.survey.hash_text())),
        text(rows.iter().map(|r| r.place.as_str())),
        bools(rows.iter().map(|r| r.kept)),
        longs(rows.iter().map(|r| r.survey.bytes)),
        longs(rows.iter().map(|r| r.survey.frames)),
        maybe_times(rows.iter().map(|r| r.survey.span.map(|s| s.0))),
        maybe_times(rows.iter().map(|r| r.survey.span.map(|s| s.1))),
        longs(rows.iter().map(|r| r.survey.back_ns as u64)),
        longs(rows.iter().map(|r| r.survey.simple)),
        longs(rows.iter().map(|r| r.survey.bad_time)),
        count(|c| c.inbound),
        count(|c| c.outbound),
        count(|c| c.internal),
        count(|c| c.broadcast),
        count(|c| c.elsewhere),
        count(|c| c.arp),
        count(|c| c.neighbour_discovery),
        count(|c| c.not_ip),
        count(|c| c.unreadable),
        count(|c| c.unknown_link),
        count(|c| c.later_fragments),
        count(|c| c.too_short),
        maybe_text(rows.iter().map(|r| r.survey.stopped.as_ref().map(ToString::to_string))),
    ];
    batch(&CAPTURES, columns)
}
