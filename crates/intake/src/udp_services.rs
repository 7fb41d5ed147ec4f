//! The UDP ports that answer: `data/udp-services.txt` as a set.

use std::sync::LazyLock;

/// The data file, with the reason for each port.
pub const FILE: &str = include_str!("../data/udp-services.txt");

static PORTS: LazyLock<Vec<u16>> = LazyLock::new(|| parse(FILE));

/// The listed ports, ascending.
pub fn ports() -> &'static [u16] {
    &PORTS
}

/// Whether a datagram from `src` to `dst` is of a kind that answers.
#[inline]
pub fn answers(src: u16, dst: u16) -> bool {
    let ports = ports();
    ports.binary_search(&src).is_ok() && ports.binary_search(&dst).is_err()
}

fn parse(text: &str) -> Vec<u16> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut ports: Vec<u16> = lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    ports.sort_unstable();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_definitions() {
        let expected = [7, 13, 17, 19, 53, 69, 111, 123, 137, 161, 389, 500, 520, 1900, 5353, 11211];
        assert_eq!(ports(), expected);
    }

    #[test]
    fn between_listed_ports_is_a_question() {
        assert!(answers(53, 4096));
        assert!(!answers(137, 137));
        assert!(!answers(4096, 53));
    }
}
