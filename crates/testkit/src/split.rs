//! Feeds input in pieces: a stream parser must find the same events wherever reads end.

use std::fmt::Debug;

use crate::Random;

/// Cuts `input` at every position, and into single bytes, and expects what the whole gave.
///
/// `run` feeds a fresh parser with the pieces in order and returns everything that it reported.
///
/// # Panics
/// When some cut changes the outcome.
pub fn everywhere<R: PartialEq + Debug>(input: &[u8], mut run: impl FnMut(&[&[u8]]) -> R) {
    let whole = run(&[input]);
    for position in 0..=input.len() {
        let (head, tail) = input.split_at(position);
        assert_eq!(run(&[head, tail]), whole, "split at byte {position} of {}", input.len());
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(run(&bytes), whole, "fed byte by byte");
}

/// Cuts `input` into random pieces, `rounds` times, and expects what the whole gave.
///
/// # Panics
/// When some cut changes the outcome.
pub fn randomly<R: PartialEq + Debug>(
    input: &[u8],
    seed: u64,
    rounds: usize,
    mut run: impl FnMut(&[&[u8]]) -> R,
) {
    let whole = run(&[input]);
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let pieces = pieces(input, &mut random);
        let lengths = || pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>();
        let outcome = run(&pieces);
        assert_eq!(outcome, whole, "round {round} of seed {seed}: pieces of {:?}", lengths());
    }
}

/// `input` in pieces of random lengths: mostly a few bytes, now and then a large piece.
#[must_use]
pub fn pieces<'a>(input: &'a [u8], random: &mut Random) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let most = if random.one_in(4) { rest.len() } else { rest.len().min(16) };
        let (piece, tail) = rest.split_at(1 + random.below(most));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole() {
        let input: Vec<u8> = (0..=255).collect();
        everywhere(&input, |pieces| pieces.concat());
        randomly(&input, 7, 100, |pieces| pieces.concat());
    }

    #[test]
    #[should_panic(expected = "split at byte")]
    fn a_parser_that_minds_is_found() {
        everywhere(&[1, 2, 3], |pieces| pieces.iter().filter(|piece| piece.len() == 3).count());
    }
}
