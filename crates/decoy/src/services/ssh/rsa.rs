//! The host key and the groups of an SSH server of 2002: RSA with SHA-1 (RFC 4253 6.6, RFC 8017 8.2) and Diffie-Hellman (RFC 4253 8,
//! RFC 4419). Old, known to be weak, and what that system has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use num_bigint::BigUint;
use sha1::{Digest, Sha1};

use super::packets::{mpint, string};
use crate::numbers::Random;
use crate::site::Site;

/// Oakley's second group (RFC 2409 6.2), which SSH calls its first; 1,024 bits.
const GROUP_1: &str = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
    4fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff";
/// The group of RFC 3526 3; 2,048 bits.
const GROUP_14: &str = "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
    4fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf05\
    98da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b\
    e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa051015728e5a8aacaa68ffffffffffffffff";

/// A prime and the generator 2.
#[derive(Clone, Debug)]
pub(super) struct Group(BigUint);

impl Group {
    /// SSH's first group.
    pub fn one() -> Self {
        Group(number(GROUP_1))
    }

    /// One of about so many bits (RFC 4419 3), of two that there are.
    pub fn of(bits: u32) -> Self {
        if bits <= 1_024 { Group::one() } else { Group(number(GROUP_14)) }
    }

    /// The prime and the generator, as they are sent.
    pub fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        mpint(&mut out, &self.0.to_bytes_be());
        mpint(&mut out, &[2]);
        out
    }

    /// Our public number and the secret that we share with who sent `theirs`; nothing where that cannot be (RFC 4253 8).
    pub fn exchange(&self, secret: &[u8], theirs: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let (secret, theirs) = (BigUint::from_bytes_be(secret), BigUint::from_bytes_be(theirs));
        let one = BigUint::from(1u8);
        if theirs <= one || theirs >= &self.0 - &one {
            return None;
        }
        let own = BigUint::from(2u8).modpow(&secret, &self.0);
        Some((own.to_bytes_be(), theirs.modpow(&secret, &self.0).to_bytes_be()))
    }
}

fn number(hex: &str) -> BigUint {
    BigUint::parse_bytes(hex.as_bytes(), 16).unwrap_or_default()
}

/// An RSA key of 1,024 bits, as `ssh-keygen` of that time made them.
#[derive(Debug)]
pub(super) struct RsaKey {
    modulus: BigUint,
    private: BigUint,
}

/// `ssh-keygen`'s public exponent of that time.
const EXPONENT: u32 = 35;
/// Bytes of the modulus.
const LENGTH: usize = 128;

impl RsaKey {
    /// The key of a host. It takes some tens of milliseconds to make, so that keys made before are remembered.
    pub fn of(site: &Site) -> Arc<RsaKey> {
        /// A host for each of a network of 256 addresses.
        const REMEMBERED: usize = 256;
        static MADE: Mutex<BTreeMap<u64, Arc<RsaKey>>> = Mutex::new(BTreeMap::new());
        let seed = site.draw("ssh rsa host key").bits();
        if let Some(key) = MADE.lock().unwrap_or_else(PoisonError::into_inner).get(&seed) {
            return Arc::clone(key);
        }
        let key = Arc::new(RsaKey::new(&mut site.draw("ssh rsa host key")));
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= REMEMBERED {
            made.pop_first();
        }
        made.insert(seed, Arc::clone(&key));
        key
    }

    fn new(random: &mut Random) -> RsaKey {
        let one = BigUint::from(1u8);
        loop {
            let (p, q) = (prime(random, LENGTH / 2), prime(random, LENGTH / 2));
            let modulus = &p * &q;
            let order = (&p - &one) * (&q - &one);
            if p != q
                && modulus.bits() == LENGTH as u64 * 8
                && let Some(private) = BigUint::from(EXPONENT).modinv(&order)
            {
                return RsaKey { modulus, private };
            }
        }
    }

    /// The public key, as it is sent.
    pub fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, b"ssh-rsa");
        mpint(&mut out, &EXPONENT.to_be_bytes());
        mpint(&mut out, &self.modulus.to_bytes_be());
        out
    }

    /// A signature over `what`, as it is sent.
    pub fn sign(&self, what: &[u8]) -> Vec<u8> {
        // What says that a hash of SHA-1 follows (RFC 8017 9.2).
        const SHA_1: [u8; 15] =
            [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
        let hash = Sha1::digest(what);
        let mut padded = vec![0xff; LENGTH];
        (padded[0], padded[1]) = (0, 1);
        let told = LENGTH - SHA_1.len() - hash.len();
        padded[told - 1] = 0;
        padded[told..told + SHA_1.len()].copy_from_slice(&SHA_1);
        padded[told + SHA_1.len()..].copy_from_slice(&hash);
        let signed = BigUint::from_bytes_be(&padded).modpow(&self.private, &self.modulus).to_bytes_be();
        let mut bytes = vec![0; LENGTH - signed.len()];
        bytes.extend(signed);
        let mut out = Vec::new();
        string(&mut out, b"ssh-rsa");
        string(&mut out, &bytes);
        out
    }
}

/// A prime of that many bytes whose two highest bits are set, so that a product of two has all its bits.
fn prime(random: &mut Random, bytes: usize) -> BigUint {
    loop {
        let mut candidate: Vec<u8> = (0..bytes).map(|_| random.bits() as u8).collect();
        candidate[0] |= 0xc0;
        candidate[bytes - 1] |= 1;
        let candidate = BigUint::from_bytes_be(&candidate);
        if is_prime(&candidate, random) {
            return candidate;
        }
    }
}

/// Small divisors first, then Miller and Rabin's test, often enough for random numbers of this size (Damgård, Landrock, Pomerance 1993).
fn is_prime(n: &BigUint, random: &mut Random) -> bool {
    const ROUNDS: usize = 8;
    const SMALL: u32 = 2_000;
    let zero = BigUint::from(0u8);
    if (3..SMALL).step_by(2).any(|small| n % small == zero && *n != BigUint::from(small)) {
        return false;
    }
    let (one, two) = (BigUint::from(1u8), BigUint::from(2u8));
    let last = n - &one;
    let Some(twos) = last.trailing_zeros() else { return false };
    let odd = &last >> twos;
    (0..ROUNDS).all(|_| {
        let base = BigUint::from(random.bits() | 2);
        let mut power = base.modpow(&odd, n);
        if power == one || power == last {
            return true;
        }
        (1..twos).any(|_| {
            power = power.modpow(&two, n);
            power == last
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_are_safe_primes() {
        let mut random = Random::new(1);
        for (group, bits) in [(Group::one(), 1_024), (Group::of(2_048), 2_048)] {
            assert_eq!(group.0.bits(), bits);
            assert!(is_prime(&group.0, &mut random));
            assert!(is_prime(&(&group.0 >> 1u8), &mut random), "half of one less");
            assert!(!is_prime(&(&group.0 - 2u8), &mut random));
        }
    }

    #[test]
    fn both_sides_of_an_exchange_share_a_secret() {
        let group = Group::one();
        let (ours, theirs) =
            (group.exchange(&[7; 32], &[9]).unwrap().0, group.exchange(&[8; 32], &[9]).unwrap().0);
        let shared = group.exchange(&[7; 32], &theirs).unwrap().1;
        assert_eq!(shared, group.exchange(&[8; 32], &ours).unwrap().1);
        for wrong in [vec![], vec![1], (&group.0 - 1u8).to_bytes_be(), group.0.to_bytes_be(), vec![0xff; 200]]
        {
            assert!(group.exchange(&[7; 32], &wrong).is_none());
        }
    }

    #[test]
    fn a_signature_opens_with_the_public_key() {
        let key = RsaKey::of(&Site::new(1, "linux-redhat-7.3"));
        assert_eq!(key.written(), RsaKey::of(&Site::new(1, "linux-redhat-7.3")).written());
        assert_ne!(key.written(), RsaKey::of(&Site::new(2, "linux-redhat-7.3")).written());
        let signed = key.sign(b"what is signed");
        let number = BigUint::from_bytes_be(&signed[signed.len() - LENGTH..]);
        let opened = number.modpow(&EXPONENT.into(), &key.modulus).to_bytes_be();
        assert_eq!((opened.len(), opened[0]), (LENGTH - 1, 1));
        assert_eq!(opened[opened.len() - 20..], Sha1::digest(b"what is signed")[..]);
    }
}
