//! What the types of a study cannot say: sums, names, spans.

use crate::scenario::Scenario;
use crate::study::{Month, Place, Response, Row, Study, Style};
use crate::target::{Sequence, Target};

/// A month's cells may miss their printed sum by as much as rounding to one decimal explains.
const ROUNDING_POINTS: f64 = 0.06;
/// From this many different passwords on, a login is a dictionary's (words.md, Login).
const DICTIONARY_PASSWORDS: usize = 5;

/// What is said in one packet fits into it.
const LONGEST_LINE: usize = 1_400;

/// What a check found: a word to find the line by, and the reason.
type Refusal = (String, String);

impl Study {
    /// What types cannot say.
    pub(crate) fn check(&self, scenario: &Scenario) -> Result<(), Refusal> {
        if self.month.is_empty() {
            return refuse("[study]", "a study has at least one [[study.month]]");
        }
        self.check_totals(scenario)?;
        self.month.iter().try_for_each(Month::check)?;
        if self.month.windows(2).any(|w| w[0].month.end > w[1].month.first) {
            return refuse("[[study.month]]", "months stand in order");
        }
        self.check_names(scenario)?;
        self.check_cast()?;
        self.check_places()?;
        self.check_systems()?;
        self.check_words()
    }

    fn check_totals(&self, scenario: &Scenario) -> Result<(), Refusal> {
        let totals = &self.totals;
        if !is_hundred(&[totals.tcp_percent, totals.udp_percent, totals.icmp_percent]) {
            return refuse("tcp_percent", "the packets' percentages do not add up to 100");
        }
        if totals.hosts_reached.len() != scenario.host.len() || !is_hundred(&totals.hosts_reached) {
            return refuse(
                "hosts_reached",
                "needs one percentage for each number of hosts, adding up to 100",
            );
        }
        let sum: u64 = self.month.iter().map(|m| u64::from(m.sources)).sum();
        if sum != u64::from(totals.sources) {
            return refuse(
                "sources",
                &format!("the months have {sum} sources, the totals {}", totals.sources),
            );
        }
        Ok(())
    }

    fn check_names(&self, scenario: &Scenario) -> Result<(), Refusal> {
        let cast = self.focused.iter().map(|f| &f.host).chain(self.contact.iter().map(|c| &c.host));
        for name in cast.chain(self.login.iter().map(|l| &l.host)) {
            if scenario.host_index(name).is_none() {
                return refuse(&format!("\"{name}\""), &format!("{name} is no host of this platform"));
            }
        }
        for order in &self.host_order {
            let mut names: Vec<&String> = order.order.iter().collect();
            names.sort();
            names.dedup();
            if names.len() != scenario.host.len() || names.iter().any(|n| scenario.host_index(n).is_none()) {
                return refuse("[[study.host_order]]", "an order names every host once");
            }
        }
        match self.host_order.is_empty() {
            true => refuse("[study]", "at least one [[study.host_order]] is needed"),
            false => Ok(()),
        }
    }

    fn check_cast(&self) -> Result<(), Refusal> {
        for login in &self.login {
            if (login.style == Style::Dictionary) != (login.passwords.len() >= DICTIONARY_PASSWORDS) {
                let wrong =
                    format!("a dictionary, and nothing else, has {DICTIONARY_PASSWORDS} passwords or more");
                return refuse("[[study.login]]", &wrong);
            }
        }
        let percents = self.pings_first.iter().map(|p| p.percent).chain([self.backscatter.two_hosts_percent]);
        if percents.into_iter().any(|p| !(0.0..=100.0).contains(&p)) {
            return refuse("percent", "a percentage lies between 0 and 100");
        }
        let floods = &self.backscatter.flood;
        if self.backscatter.sources > 0
            && (floods.is_empty() || floods.iter().any(|f| f.sequences.is_empty()))
        {
            return refuse("[study.backscatter]", "every flood needs sequences");
        }
        let flood = floods.iter().find(|f| !f.sequences.iter().all(|s| f.response.fits(s)));
        match flood {
            Some(flood) => {
                refuse("[[study.backscatter.flood]]", &format!("{:?} cannot hit these", flood.response))
            }
            None => Ok(()),
        }
    }
}

impl Study {
    fn check_places(&self) -> Result<(), Refusal> {
        let months: Vec<String> = self.month.iter().map(|m| m.month.first.month()).collect();
        for place in &self.place {
            let zone = place.time_zone.map_or(Place::UNKNOWN, |zone| zone.name());
            let about = format!("\"{zone}\"");
            if let Some(month) = place.months.keys().find(|m| !months.contains(m)) {
                return refuse(month, &format!("{month} is no month of this study"));
            }
            if place.is_known() == place.time_zone.is_none() {
                return refuse(&about, "a place has a time_zone, and only one in no database has none");
            }
            let curve = self.curve(place).ok_or((about.clone(), "hours name no [study.profile]".into()))?;
            if curve.len() != 24 || !are_weights(curve.iter().copied()) {
                return refuse(&about, "hours are 24 weights, not all of them zero");
            }
        }
        for month in &months {
            let shares: Vec<f64> = self.place.iter().map(|p| p.percent_in(month)).collect();
            if !shares.is_empty() && !is_hundred(&shares) {
                let sum: f64 = shares.iter().sum();
                return refuse("time_zone", &format!("in {month} the places add up to {sum:.1}, not to 100"));
            }
        }
        let mut names: Vec<String> = self.place.iter().map(Place::name).collect();
        names.sort();
        match names.windows(2).find(|w| w[0] == w[1]) {
            Some(twice) => refuse("time_zone", &format!("{} is listed twice", twice[0])),
            None => Ok(()),
        }
    }

    fn check_systems(&self) -> Result<(), Refusal> {
        let shares: Vec<f64> = self.system.iter().map(|s| s.percent).collect();
        if !shares.is_empty() && !is_hundred(&shares) {
            return refuse("syn =", "the systems' percentages do not add up to 100");
        }
        if self.system.len() > 200 || self.place.len() > 1_000 {
            return refuse("[study]", "a study has at most 200 systems and 1000 places");
        }
        let unknown = |name: &&String| !self.system.iter().any(|s| s.name == **name);
        match self.worm.iter().flat_map(|w| &w.systems).find(unknown) {
            Some(name) => refuse(&format!("\"{name}\""), &format!("{name} is no [[study.system]]")),
            None => Ok(()),
        }
    }

    fn check_words(&self) -> Result<(), Refusal> {
        if !self.web.is_empty() && !are_weights(self.web.iter().map(|w| w.weight)) {
            return refuse("request =", "weights are not below zero, and not all of them zero");
        }
        for web in &self.web {
            let mut words = web.request.split(' ');
            let is_request = words.nth(1).is_some_and(|target| !target.is_empty() && words.next().is_some());
            if !is_request || !web.request.contains("\r\n") || web.request.len() > LONGEST_LINE {
                return refuse(
                    "request =",
                    &format!("a request is METHOD TARGET HTTP/1.0\\r\\n\\r\\n in {LONGEST_LINE} bytes"),
                );
            }
        }
        let ftp = || self.ftp.iter().flat_map(|f| [&f.user, &f.password].into_iter().chain(&f.commands));
        let shells = self.worm.iter().flat_map(|w| &w.shell);
        if ftp().chain(shells).any(|line| line.contains(['\r', '\n']) || line.len() > 400) {
            return refuse("commands =", "a command is one line of 400 bytes at most");
        }
        let sum: f64 = self.ftp.iter().map(|f| f.percent).sum();
        match self.ftp.iter().any(|f| f.percent < 0.0) || sum > 100.0 {
            true => refuse("commands =", "the percentages lie between 0 and 100, and so does their sum"),
            false => Ok(()),
        }
    }
}

impl Month {
    fn check(&self) -> Result<(), Refusal> {
        let (month, span) = (self.month.first.month(), self.month);
        let outside = |row: &&Row| row.from.is_some_and(|day| day < span.first || day >= span.end);
        if let Some(row) = self.row.iter().find(outside) {
            return refuse(&month, &format!("the first day of {} is not in {month}", row.sequence));
        }
        if self.row.iter().any(|r| !(0.0..=100.0).contains(&r.percent)) {
            return refuse(&month, &format!("a percentage of {month} is not between 0 and 100"));
        }
        let rows: f64 = self.row.iter().map(|r| r.percent).sum();
        let sum = rows + self.others.unwrap_or(0.0);
        let whole = self.others.is_none() && sum <= self.adds_to;
        if !whole && (sum - self.adds_to).abs() > ROUNDING_POINTS {
            return refuse(
                &month,
                &format!("the column {month} adds up to {sum:.1}, not to {}", self.adds_to),
            );
        }
        Ok(())
    }
}

impl Response {
    /// Whether packets of this kind make such a sequence.
    fn fits(self, sequence: &Sequence) -> bool {
        sequence.0.iter().all(|target| match self {
            Response::SynAck | Response::Rst | Response::RstAck => matches!(target, Target::Tcp(_)),
            Response::Dns => matches!(target, Target::Udp(_)),
            _ => *target == Target::Icmp,
        })
    }
}

fn is_hundred(percents: &[f64]) -> bool {
    percents.iter().all(|p| *p >= 0.0) && (percents.iter().sum::<f64>() - 100.0).abs() < 1e-6
}

fn are_weights(mut weights: impl Iterator<Item = f64> + Clone) -> bool {
    let sum: f64 = weights.clone().sum();
    weights.all(|w| w >= 0.0) && sum > 0.0 && sum.is_finite()
}

fn refuse(about: &str, message: &str) -> Result<(), Refusal> {
    Err((about.to_owned(), message.to_owned()))
}
