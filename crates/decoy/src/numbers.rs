//! The numbers that a host counts: IP identifications, initial sequence numbers, time stamps.
//!
//! They are counters with a seeded step, because what tells systems apart is how their numbers grow: nmap takes six of them
//! 100 ms apart and looks at the steps' common divisor, mean and spread (nmap's book, chapter 8, SEQ).

/// A seeded generator (SplitMix64, Steele and others 2014): eight bytes of state, and the same numbers for ever.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// One that begins at `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(n)) >> 32) as u32
    }
}

/// How IP identifications follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdPolicy {
    /// Always 0: what Linux sends where DF is set.
    Zero,
    /// Always this.
    Constant(u16),
    /// One more each time.
    Incremental,
    /// One more each time, in the byte order of a little-endian machine: Windows before 2000.
    BrokenIncremental,
    /// More by a random step each time.
    RandomSteps,
    /// Random.
    Random,
}

/// A counter of IP identifications.
#[derive(Clone, Debug)]
pub struct Ids {
    policy: IdPolicy,
    last: u16,
}

impl Ids {
    /// A counter that begins somewhere in a quarter of all numbers, 0 to 3.
    pub fn new(policy: IdPolicy, quarter: u16, random: &mut Random) -> Self {
        Ids { policy, last: quarter << 14 | (random.bits() as u16 & 0x3fff) }
    }

    /// The next one.
    pub fn take(&mut self, random: &mut Random) -> u16 {
        self.last = match self.policy {
            IdPolicy::Zero => 0,
            IdPolicy::Constant(id) => id,
            IdPolicy::Incremental => self.last.wrapping_add(1),
            IdPolicy::BrokenIncremental => self.last.swap_bytes().wrapping_add(1).swap_bytes(),
            IdPolicy::RandomSteps => self.last.wrapping_add(1_500 + random.below(8_000) as u16),
            // A step that is seen to be random: of two numbers by chance near each other nothing can be said.
            IdPolicy::Random => self.last.wrapping_add(20_500 + random.below(24_000) as u16),
        };
        self.last
    }
}

/// How initial sequence numbers grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IsnPolicy {
    /// One number, always.
    Constant,
    /// All 32 bits at random.
    Random,
    /// By a random step each time, whatever time passed: what a hash over the connection (RFC 6528) looks like to a stranger.
    Steps {
        /// Steps are multiples of this.
        unit: u32,
        /// Mean step.
        mean: f64,
        /// Standard deviation of the steps.
        spread: f64,
    },
    /// By time.
    Clock {
        /// Steps are multiples of this.
        unit: u32,
        /// Mean growth, in numbers each second.
        per_s: f64,
        /// Standard deviation of that growth from one to the next, 100 ms apart.
        spread_per_s: f64,
    },
}

/// The initial sequence numbers of a host.
#[derive(Clone, Debug)]
pub struct Isns {
    policy: IsnPolicy,
    last: u32,
    last_step: u32,
    at_ns: i64,
    turn: usize,
}

/// Departures from the mean growth, in standard deviations: five in a row have a mean near 0 and a standard deviation near 1, so that
/// who looks at few of them sees what many would show.
const DEPARTURES: [f64; 10] = [1.0, -0.9, 1.0, -1.0, 0.0, 0.9, -1.0, 1.0, -1.0, 0.1];

impl Isns {
    /// Begins somewhere.
    pub fn new(policy: IsnPolicy, random: &mut Random) -> Self {
        Isns { policy, last: random.bits() as u32, last_step: 0, at_ns: 0, turn: random.below(10) as usize }
    }

    /// The next one, at `now_ns`.
    pub fn take(&mut self, now_ns: i64, random: &mut Random) -> u32 {
        self.last = match self.policy {
            IsnPolicy::Constant => self.last.max(1),
            IsnPolicy::Random => random.bits() as u32,
            IsnPolicy::Steps { unit, mean, spread } => {
                let step = mean + spread * self.departure(random);
                // Half way round at most: a longer step would be a shorter one back.
                let step = step.clamp(1.0, f64::from(i32::MAX)) as u32;
                self.last.wrapping_add((step / unit).max(1) * unit)
            }
            IsnPolicy::Clock { unit, per_s, spread_per_s } => {
                let passed_s = (now_ns - self.at_ns).clamp(0, 1_000_000_000) as f64 / 1e9;
                let rate = (per_s + spread_per_s * self.departure(random)).max(0.0);
                let mut step = (rate * passed_s / f64::from(unit)).round() as i64 as u32;
                // Packets that come evenly must not make a unit of the steps where there is none.
                if unit == 1 && step == self.last_step && step > 6 {
                    step += 1;
                }
                self.last_step = step;
                self.last.wrapping_add(step.wrapping_mul(unit))
            }
        };
        self.at_ns = now_ns;
        self.last
    }

    /// How many of its lowest bits nobody can tell from chance, so that they may carry something: 0, 16 or 32.
    pub fn room(&self) -> u32 {
        const SPREAD: f64 = (1u32 << 20) as f64;
        match self.policy {
            IsnPolicy::Random => 32,
            IsnPolicy::Steps { unit: 1, spread, .. } if spread >= SPREAD => 16,
            _ => 0,
        }
    }

    /// The one just taken was sent as this.
    pub fn taken(&mut self, isn: u32) {
        self.last = isn;
    }

    /// Whether it may have been given in the last minute, or among the last thousands where steps do not go by time.
    pub fn lately(&self, isn: u32) -> bool {
        let ago = f64::from(self.last.wrapping_sub(isn));
        match self.policy {
            IsnPolicy::Constant => ago == 0.0,
            IsnPolicy::Random => false,
            IsnPolicy::Steps { mean, .. } => ago <= (mean * 10_000.0).min(f64::from(1u32 << 28)),
            IsnPolicy::Clock { per_s, .. } => ago <= (per_s * 60.0).min(f64::from(1u32 << 28)),
        }
    }

    /// How far the next one is from the mean, in standard deviations.
    fn departure(&mut self, random: &mut Random) -> f64 {
        self.turn = (self.turn + 1) % DEPARTURES.len();
        DEPARTURES[self.turn] * (0.9 + f64::from(random.below(1 << 24)) * (0.2 / f64::from(1 << 24)))
    }
}

/// A host's clock of TCP time stamps (RFC 7323).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StampClock {
    /// Ticks each second.
    pub hz: f64,
    /// What it showed at time 0.
    pub start: u32,
}

impl StampClock {
    /// What it shows at `now_ns`; never 0, which means no stamp.
    pub fn at(&self, now_ns: i64) -> u32 {
        // In thousandths of a tick, so that neither slow clocks nor the fastest lose anything.
        let ticks = (i128::from(now_ns) * (self.hz * 1e3) as i128 / 1_000_000_000_000) as u32;
        self.start.wrapping_add(ticks).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifications_grow_as_their_policy_says() {
        let steps = |policy| {
            let mut random = Random::new(7);
            let mut ids = Ids::new(policy, 0, &mut random);
            let all: Vec<u16> = (0..300).map(|_| ids.take(&mut random)).collect();
            all.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect::<Vec<_>>()
        };
        assert!(steps(IdPolicy::Incremental).iter().all(|s| *s == 1));
        assert!(steps(IdPolicy::BrokenIncremental).iter().filter(|s| **s == 256).count() >= 297);
        assert!(steps(IdPolicy::RandomSteps).iter().all(|s| (1_000..20_000).contains(s)));
        assert!(steps(IdPolicy::Random).iter().all(|s| *s >= 20_000));
    }

    #[test]
    fn a_clock_of_sequence_numbers_keeps_its_rate_spread_and_unit() {
        let mut random = Random::new(3);
        let policy = IsnPolicy::Clock { unit: 64, per_s: 1e6, spread_per_s: 1e5 };
        let mut isns = Isns::new(policy, &mut random);
        let all: Vec<u32> = (1..=6).map(|i| isns.take(i * 100_000_000, &mut random)).collect();
        let rates: Vec<f64> = all.windows(2).map(|w| f64::from(w[1].wrapping_sub(w[0])) * 10.0).collect();
        let mean = rates.iter().sum::<f64>() / 5.0;
        let spread = (rates.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
        assert!((9.5e5..10.5e5).contains(&mean), "{mean}");
        assert!((0.8e5..1.4e5).contains(&spread), "{spread}");
        assert!(all.windows(2).all(|w| w[1].wrapping_sub(w[0]) % 64 == 0));
    }
}
