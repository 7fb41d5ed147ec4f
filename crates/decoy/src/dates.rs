//! Dates as services write them, in UTC.

use trapline_wire::Time;

/// A moment of the civil calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Year.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: usize,
    /// Day, 1 to 31.
    pub day: i64,
    /// Day of the week; 0 is Sunday.
    pub weekday: usize,
    /// Hour.
    pub hour: i64,
    /// Minute.
    pub minute: i64,
    /// Second.
    pub second: i64,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

impl Date {
    /// Of seconds since 1970 (Howard Hinnant's `civil_from_days`).
    pub fn of(seconds: i64) -> Date {
        let (days, left) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let of_era = z.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Date {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month: month as usize,
            day: of_year - (153 * shifted + 2) / 5 + 1,
            weekday: (days + 4).rem_euclid(7) as usize,
            hour: left / 3_600,
            minute: left / 60 % 60,
            second: left % 60,
        }
    }

    /// Of nanoseconds since 1970.
    pub fn at(now: Time) -> Date {
        Date::of(now.div_euclid(1_000_000_000))
    }

    /// The name of the month, in three letters.
    pub fn month_name(&self) -> &'static str {
        MONTHS[self.month - 1]
    }

    /// The name of the day, in three letters.
    pub fn day_name(&self) -> &'static str {
        DAYS[self.weekday]
    }

    /// The time of day: `08:49:37`.
    pub fn clock(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// As HTTP writes it (RFC 9110 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn http(&self) -> String {
        format!(
            "{}, {:02} {} {} {} GMT",
            self.day_name(),
            self.day,
            self.month_name(),
            self.year,
            self.clock()
        )
    }

    /// As mail writes it (RFC 5322 3.3): `Sun, 6 Nov 1994 08:49:37 +0000`.
    pub fn mail(&self) -> String {
        format!(
            "{}, {} {} {} {} +0000",
            self.day_name(),
            self.day,
            self.month_name(),
            self.year,
            self.clock()
        )
    }

    /// As C's `ctime` writes it, without its end: `Sun Nov  6 08:49:37 1994`.
    pub fn ctime(&self) -> String {
        format!("{} {} {:2} {} {}", self.day_name(), self.month_name(), self.day, self.clock(), self.year)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(Date::of(784_111_777).http(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(Date::of(784_111_777).ctime(), "Sun Nov  6 08:49:37 1994");
        assert_eq!(Date::of(951_782_400).mail(), "Tue, 29 Feb 2000 00:00:00 +0000");
        assert_eq!(Date::of(-1).http(), "Wed, 31 Dec 1969 23:59:59 GMT");
    }
}
