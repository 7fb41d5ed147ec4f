//! The virtual clock: days, months, and a grid of ticks on which no two packets ever meet.
//!
//! Every source owns one residue (its *slot*) modulo the tick length, so its packets fall on times that
//! no other source can use. Timestamps are then unique by construction: the plan knows the order
//! of all packets without merging them, and nobody has to be moved aside when they are written. The
//! hosts' answers use the same residues shifted by the number of slots.

use chrono::{DateTime, Datelike, Days, NaiveDate, Offset, SecondsFormat, TimeZone};
use chrono_tz::Tz;
use serde::Deserialize;

/// Microseconds in one UTC day.
pub const DAY_US: i64 = 86_400_000_000;
/// No packet falls this close to midnight, so that an answer stays in its request's day.
const MARGIN_US: i64 = 1_000_000;
/// The finest grid: 65.536 ms between two packets of one source, as a slow modem would have it.
const MIN_TICK_US: i64 = 1 << 16;

/// A UTC day, as days since 1970-01-01; written `2003-08-11` in scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub i32);

impl Day {
    /// The day of a date.
    pub fn of(date: NaiveDate) -> Self {
        Day(date.signed_duration_since(NaiveDate::default()).num_days() as i32)
    }

    /// The day on which a time falls; microseconds since 1970.
    pub fn at(time_us: i64) -> Self {
        Day(time_us.div_euclid(DAY_US) as i32)
    }

    /// Its first microsecond.
    pub fn start_us(self) -> i64 {
        i64::from(self.0) * DAY_US
    }

    fn date(self) -> NaiveDate {
        let days = i64::from(self.0);
        DateTime::from_timestamp(days * 86_400, 0).map(|t| t.date_naive()).unwrap_or_default()
    }

    /// `2003-08`.
    pub fn month(self) -> String {
        self.date().format("%Y-%m").to_string()
    }

    /// Day of the month, from 1.
    pub fn of_month(self) -> u32 {
        self.date().day()
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.date().format("%Y-%m-%d"))
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = toml::value::Datetime::deserialize(from)?.to_string();
        let date: NaiveDate = written
            .parse()
            .map_err(|_| serde::de::Error::custom(format!("`{written}` is no day: write 2003-08-11")))?;
        Ok(Day::of(date))
    }
}

/// A calendar month by its first day and the first day of the next; written `"2003-08"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonthSpan {
    /// Its first day.
    pub first: Day,
    /// The first day after it.
    pub end: Day,
}

impl<'de> Deserialize<'de> for MonthSpan {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let first = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d")
            .map_err(|_| serde::de::Error::custom(format!("`{text}` is no month: write 2003-08")))?;
        let end = first + Days::new(31);
        Ok(MonthSpan { first: Day::of(first), end: Day::of(end.with_day(1).unwrap_or(end)) })
    }
}

/// `2003-10-15T00:00:00.000000Z` of microseconds since 1970.
pub fn rfc3339(time_us: i64) -> String {
    DateTime::from_timestamp_micros(time_us).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// How far a zone's clocks are from UTC at a time, in microseconds; daylight saving included.
pub(crate) fn local_offset_us(time_us: i64, zone: Tz) -> i64 {
    let utc = DateTime::from_timestamp_micros(time_us).unwrap_or_default().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000
}

/// The hour of the day, 0 to 23, of microseconds since 1970 by the same clock.
pub(crate) fn hour_of_day(time_us: i64) -> usize {
    (time_us.rem_euclid(DAY_US) / 3_600_000_000) as usize
}

/// The hour that the clocks of a zone show at a time; microseconds since 1970.
pub fn local_hour(time_us: i64, zone: Tz) -> usize {
    hour_of_day(time_us + local_offset_us(time_us, zone))
}

/// The grid: how long a tick is and how many slots share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Microseconds from one tick to the next.
    pub tick_us: i64,
    /// Residues in use; an answer follows its request by this many microseconds.
    pub slots: i64,
}

impl Clock {
    /// A grid with room for that many slots and their answers.
    pub fn new(slots: usize) -> Self {
        let slots = slots as i64;
        let room = (2 * slots).max(MIN_TICK_US) as u64;
        Clock { tick_us: room.next_power_of_two() as i64, slots }
    }

    /// The time of a slot's tick, in microseconds since 1970.
    #[inline]
    pub fn time_us(&self, slot: u32, tick: u64) -> i64 {
        tick as i64 * self.tick_us + i64::from(slot)
    }

    /// The time of the answer to a packet.
    #[inline]
    pub fn answer_us(&self, time_us: i64) -> i64 {
        time_us + self.slots
    }

    /// The first tick of a day that all slots may use.
    pub fn first_tick(&self, day: Day) -> u64 {
        ((day.start_us() + MARGIN_US) / self.tick_us + 1) as u64
    }

    /// The last one.
    pub fn last_tick(&self, day: Day) -> u64 {
        ((day.start_us() + DAY_US - MARGIN_US) / self.tick_us - 2) as u64
    }

    /// The ticks in that many milliseconds, at least one.
    pub fn ticks(&self, milliseconds: u64) -> u64 {
        (milliseconds * 1_000).div_ceil(self.tick_us as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_hours_know_daylight_saving() {
        let check = |zone: &str, time: &str, expected| {
            let time_us = DateTime::parse_from_rfc3339(time).unwrap().timestamp_micros();
            assert_eq!(local_hour(time_us, zone.parse().unwrap()), expected, "{time} in {zone}");
        };
        // Python's zoneinfo says the same.
        check("Australia/Sydney", "2003-08-11T12:00:00Z", 22);
        check("Australia/Sydney", "2003-12-11T12:00:00Z", 23);
        check("Europe/Paris", "2003-03-30T00:59:59Z", 1);
        check("Europe/Paris", "2003-03-30T01:00:00Z", 3);
        check("America/Los_Angeles", "2003-10-26T08:59:59Z", 1);
        check("America/Los_Angeles", "2003-10-26T09:00:00Z", 1);
        check("America/New_York", "2003-03-15T02:00:00Z", 21);
        check("Asia/Kolkata", "2003-03-15T18:29:59Z", 23);
    }

    #[test]
    fn every_slot_stays_in_its_day() {
        let clock = Clock::new(80_000);
        let day = Day::of(NaiveDate::from_ymd_opt(2003, 8, 11).unwrap());
        for slot in [0, 79_999] {
            assert_eq!(Day::at(clock.time_us(slot, clock.first_tick(day))), day);
            assert_eq!(Day::at(clock.answer_us(clock.time_us(slot, clock.last_tick(day)))), day);
        }
        assert_eq!(
            (day.to_string(), day.month(), day.of_month()),
            ("2003-08-11".into(), "2003-08".into(), 11)
        );
    }
}
