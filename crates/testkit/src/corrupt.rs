//! Damages input: a parser must refuse or repair, never panic or hang.

use crate::Random;

/// Runs with every proper prefix of `input`.
pub fn truncations(input: &[u8], mut run: impl FnMut(&[u8])) {
    for length in 0..input.len() {
        let (prefix, _) = input.split_at(length);
        run(prefix);
    }
}

/// Runs with every single bit of `input` flipped in turn.
pub fn every_bit(input: &[u8], mut run: impl FnMut(&[u8])) {
    let mut damaged = input.to_vec();
    for position in 0..damaged.len() {
        for bit in 0..8 {
            flip(&mut damaged, position, bit);
            run(&damaged);
            flip(&mut damaged, position, bit);
        }
    }
}

/// Runs `rounds` times with random damage: flipped bits, replaced bytes, pieces that are missing
/// or doubled.
pub fn randomly(input: &[u8], seed: u64, rounds: usize, mut run: impl FnMut(&[u8])) {
    let mut random = Random::new(seed);
    for _ in 0..rounds {
        let mut damaged = input.to_vec();
        for _ in 0..=random.below(4) {
            damage(&mut damaged, &mut random);
        }
        run(&damaged);
    }
}

/// The longest piece that is cut out or doubled.
const PIECE: usize = 32;

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let position = random.below(bytes.len());
    let end = position + random.below(PIECE.min(bytes.len() - position));
    match random.below(4) {
        0 => flip(bytes, position, random.below(8)),
        1 => {
            // The values at which lengths and counters go wrong.
            let value = [0x00, 0xFF, 0x7F, 0x80].get(random.below(4)).copied().unwrap_or(0);
            if let Some(byte) = bytes.get_mut(position) {
                *byte = value;
            }
        }
        2 => drop(bytes.drain(position..end)),
        _ => bytes.extend_from_within(position..end),
    }
}

fn flip(bytes: &mut [u8], position: usize, bit: usize) {
    if let Some(byte) = bytes.get_mut(position) {
        *byte ^= 1 << bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_and_every_bit_once() {
        let input = [1, 2, 3];
        let mut prefixes = Vec::new();
        truncations(&input, |prefix| prefixes.push(prefix.to_vec()));
        assert_eq!(prefixes, [vec![], vec![1], vec![1, 2]]);
        let mut flips = 0;
        every_bit(&input, |damaged| {
            let changed = input.iter().zip(damaged).map(|(a, b)| (a ^ b).count_ones());
            assert_eq!(changed.sum::<u32>(), 1);
            flips += 1;
        });
        assert_eq!(flips, 24);
    }

    #[test]
    fn random_damage_takes_any_input() {
        for length in 0..20 {
            randomly(&vec![9; length], 3, 50, |_| ());
        }
    }
}
