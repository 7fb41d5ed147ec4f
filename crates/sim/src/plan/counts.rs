//! From shares to whole numbers, and draws by weight.

use rand::Rng;

/// Divides `total` by `weights` with largest remainders: the parts add up exactly, and none is a whole
/// unit off its share. Ties go to the earlier part.
pub(crate) fn apportion(total: u64, weights: &[f64]) -> Vec<u64> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let shares: Vec<f64> = weights.iter().map(|w| total as f64 * w / sum).collect();
    let mut parts: Vec<u64> = shares.iter().map(|s| s.floor() as u64).collect();
    let mut by_remainder: Vec<usize> = (0..parts.len()).filter(|n| weights[*n] > 0.0).collect();
    by_remainder.sort_by(|a, b| shares[*b].fract().total_cmp(&shares[*a].fract()).then(a.cmp(b)));
    let missing = total.saturating_sub(parts.iter().sum()) as usize;
    for n in by_remainder.iter().cycle().take(missing) {
        parts[*n] += 1;
    }
    parts
}

/// An index, drawn by weight.
pub(crate) fn pick(rng: &mut impl Rng, weights: impl Iterator<Item = f64> + Clone) -> usize {
    at_share(rng.random::<f64>(), weights)
}

/// The index at which so much of all weight is reached; `share` is below 1.
pub(crate) fn at_share(share: f64, weights: impl Iterator<Item = f64> + Clone) -> usize {
    let mut left = share * weights.clone().sum::<f64>();
    let mut last = 0;
    for (n, weight) in weights.enumerate() {
        last = n;
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// A heavy-tailed weight from 1 to `most`: most sources send little, a few nearly everything.
pub(crate) fn heavy_tail(rng: &mut impl Rng, most: f64) -> f64 {
    /// Tail exponent: near 1, as counted on darknets again and again.
    const TAIL: f64 = 1.15;
    let uniform: f64 = rng.random_range(f64::EPSILON..1.0);
    uniform.powf(-1.0 / TAIL).min(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_papers_hosts() {
        assert_eq!(apportion(18_075, &[25.5, 5.5, 69.0]), [4_609, 994, 12_472]);
    }

    proptest! {
        #[test]
        fn parts_add_up(total in 0u64..5_000_000, weights in prop::collection::vec(0.01f64..100.0, 1..40)) {
            let parts = apportion(total, &weights);
            prop_assert_eq!(parts.iter().sum::<u64>(), total);
            let sum: f64 = weights.iter().sum();
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!((*part as f64 - total as f64 * weight / sum).abs() < 1.001);
            }
        }
    }
}
