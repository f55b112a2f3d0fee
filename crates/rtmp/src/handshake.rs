//! The handshake: RTMP 1.0 §5.2, plain and with digests.
//!
//! The digest ("complex") variant is not in the specification; Flash Player 9 and later, ffmpeg
//! and librtmp speak it. C1 and S1 carry an HMAC-SHA256 of themselves at one of two places, C2 and
//! S2 one that is keyed by the other side's digest. The server answers in the client's variant:
//! some players refuse H.264 from a server that answers a digest plainly.
//!
//! The contents of C2 and S2 are never a reason to refuse: many peers send anything there.
//! RTMPE (version 6) is refused.

use bytes::{BufMut, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Error;

/// The only version of the unencrypted protocol.
const VERSION: u8 = 3;

/// Length of C1, S1, C2 and S2.
const BLOCK: usize = 1536;

/// Length of an HMAC-SHA256.
const DIGEST: usize = 32;

/// What both keys end with.
const SHARED_KEY: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57,
    0x6E, 0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

/// What servers sign S1 with; with [`SHARED_KEY`] appended, S2.
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";

/// What clients sign C1 with; with [`SHARED_KEY`] appended, C2.
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";

/// The version field of a digest S1: any non-zero value announces the variant.
const SERVER_SOFTWARE: [u8; 4] = [4, 5, 0, 1];

/// The version field of a digest C1: Flash Player 9.0.124.2, which servers have always accepted.
const CLIENT_SOFTWARE: [u8; 4] = [9, 0, 124, 2];

type Block = [u8; BLOCK];
type Digest = [u8; DIGEST];

/// Where a block holds its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// In the first half; the offset is the sum of bytes 8 to 11.
    First,
    /// In the second half; the offset is the sum of bytes 772 to 775.
    Second,
}

impl Scheme {
    /// Where the four bytes lie whose sum gives the digest's place.
    fn base(self) -> usize {
        match self {
            Self::First => 8,
            Self::Second => 772,
        }
    }

    /// Splits a block into what precedes the digest, the digest, and what follows it.
    fn split(self, block: &Block) -> (&[u8], &[u8], &[u8]) {
        // 728 keeps the digest inside its half: 776 + 727 + 32 < 1536.
        let sum: usize = block.iter().skip(self.base()).take(4).map(|&b| usize::from(b)).sum();
        let (head, rest) = block.split_at(self.base() + 4 + sum % 728);
        let (digest, tail) = rest.split_at(DIGEST);
        (head, digest, tail)
    }

    /// The block's digest, if it is the right one for `key`.
    fn verify(self, block: &Block, key: &[u8]) -> Option<Digest> {
        let (head, digest, tail) = self.split(block);
        let expected = sign(key, &[head, tail]);
        (expected == digest).then_some(expected)
    }

    /// Puts the block's digest in its place and returns it.
    fn imprint(self, block: &mut Block, key: &[u8]) -> Digest {
        let (head, _, tail) = self.split(block);
        let (offset, digest) = (head.len(), sign(key, &[head, tail]));
        for (to, from) in block.iter_mut().skip(offset).zip(digest) {
            *to = from;
        }
        digest
    }
}

/// The scheme that a first block is signed in with `key`, and its digest.
fn signature(block: &Block, key: &[u8]) -> Option<(Scheme, Digest)> {
    [Scheme::First, Scheme::Second]
        .into_iter()
        .find_map(|scheme| scheme.verify(block, key).map(|digest| (scheme, digest)))
}

/// HMAC-SHA256 of the parts, one after the other.
fn sign(key: &[u8], parts: &[&[u8]]) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A key with the shared part appended, as C2 and S2 are signed with.
fn whole_key(key: &[u8]) -> Vec<u8> {
    [key, SHARED_KEY.as_slice()].concat()
}

/// C2 or S2 of the digest variant: random bytes and a digest keyed by the other side's.
fn answer(theirs: &Digest, key: &[u8], noise: &mut Noise) -> Block {
    let mut block = [0; BLOCK];
    noise.fill(&mut block);
    let key = sign(&whole_key(key), &[theirs]);
    if let Some((body, place)) = block.split_last_chunk_mut::<DIGEST>() {
        *place = sign(&key, &[body]);
    }
    block
}

/// Fills blocks from a seed (splitmix64); the handshake needs variety, not secrecy.
#[derive(Debug)]
struct Noise(u64);

impl Noise {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            for (to, from) in chunk.iter_mut().zip(z.to_le_bytes()) {
                *to = from;
            }
        }
    }

    /// A first block: time zero, the version field, noise.
    fn block(&mut self, software: [u8; 4]) -> Block {
        let mut block = [0; BLOCK];
        self.fill(&mut block);
        for (to, from) in block.iter_mut().zip([0; 4].into_iter().chain(software)) {
            *to = from;
        }
        block
    }
}

/// Gathers a block of which some bytes have arrived.
#[derive(Debug)]
struct Gather {
    block: Block,
    have: usize,
}

impl Gather {
    fn new() -> Self {
        Self { block: [0; BLOCK], have: 0 }
    }

    /// Takes what is missing from `input`; the block, once it is complete.
    fn read(&mut self, input: &mut &[u8]) -> Option<&Block> {
        let place = self.block.get_mut(self.have..).unwrap_or_default();
        let (taken, rest) = input.split_at(place.len().min(input.len()));
        for (to, from) in place.iter_mut().zip(taken) {
            *to = *from;
        }
        self.have += taken.len();
        *input = rest;
        (self.have == BLOCK).then_some(&self.block)
    }
}

/// What both halves wait for, one after the other.
#[derive(Debug)]
enum Expect {
    /// C0 or S0.
    Version,
    /// C1 or S1.
    First(Box<Gather>),
    /// C2 or S2, of which so many bytes are still to come; nothing depends on its contents.
    Second(usize),
}

impl Expect {
    /// Takes bytes from the front of `input`, hands the first block to `answer` when it is
    /// complete; true once the second has arrived.
    fn read(&mut self, input: &mut &[u8], mut answer: impl FnMut(&Block)) -> Result<bool, Error> {
        loop {
            match self {
                Self::Version => match input.split_first() {
                    None => return Ok(false),
                    Some((&VERSION, rest)) => {
                        *input = rest;
                        *self = Self::First(Box::new(Gather::new()));
                    }
                    Some((&version, _)) => return Err(Error::UnsupportedVersion(version)),
                },
                Self::First(gather) => {
                    let Some(block) = gather.read(input) else { return Ok(false) };
                    answer(block);
                    *self = Self::Second(BLOCK);
                }
                Self::Second(missing) => {
                    let (taken, rest) = input.split_at((*missing).min(input.len()));
                    *missing -= taken.len();
                    *input = rest;
                    return Ok(*missing == 0);
                }
            }
        }
    }
}

/// The server's half.
#[derive(Debug)]
pub struct Server {
    expect: Expect,
    noise: Noise,
}

impl Server {
    /// Waits for C0; `seed` makes the random bytes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { expect: Expect::Version, noise: Noise(seed) }
    }

    /// Takes bytes from the front of `input`, appends S0, S1 and S2 to `out` when C1 is there;
    /// true once C2 has arrived, and what is left of `input` is the first chunk.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] for anything but version 3.
    pub fn read(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<bool, Error> {
        self.expect.read(input, |c1| reply(c1, &mut self.noise, out))
    }
}

/// S0, S1 and S2, in the variant of C1.
fn reply(c1: &Block, noise: &mut Noise, out: &mut BytesMut) {
    out.reserve(1 + 2 * BLOCK);
    out.put_u8(VERSION);
    if let Some((scheme, digest)) = signature(c1, CLIENT_KEY) {
        let mut s1 = noise.block(SERVER_SOFTWARE);
        scheme.imprint(&mut s1, SERVER_KEY);
        out.put_slice(&s1);
        out.put_slice(&answer(&digest, SERVER_KEY, noise));
    } else {
        out.put_slice(&noise.block([0; 4]));
        out.put_slice(c1);
    }
}

/// Which handshake a client offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Variant {
    /// As in the specification; every live server accepts it.
    #[default]
    Plain,
    /// With digests, for servers that want a Flash Player.
    Digest,
}

/// The client's half.
#[derive(Debug)]
pub struct Client {
    expect: Expect,
    noise: Noise,
    variant: Variant,
}

impl Client {
    /// Appends C0 and C1 to `out` and waits for S0; `seed` makes the random bytes.
    #[must_use]
    pub fn new(variant: Variant, seed: u64, out: &mut BytesMut) -> Self {
        let mut noise = Noise(seed);
        out.put_u8(VERSION);
        match variant {
            Variant::Plain => out.put_slice(&noise.block([0; 4])),
            Variant::Digest => {
                let mut c1 = noise.block(CLIENT_SOFTWARE);
                Scheme::First.imprint(&mut c1, CLIENT_KEY);
                out.put_slice(&c1);
            }
        }
        Self { expect: Expect::Version, noise, variant }
    }

    /// Takes bytes from the front of `input`, appends C2 to `out` when S1 is there; true once S2
    /// has arrived, and what is left of `input` is the first chunk.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] for anything but version 3.
    pub fn read(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<bool, Error> {
        let digests = self.variant == Variant::Digest;
        self.expect.read(input, |s1| match signature(s1, SERVER_KEY).filter(|_| digests) {
            Some((_, digest)) => out.put_slice(&answer(&digest, CLIENT_KEY, &mut self.noise)),
            None => out.put_slice(s1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs both halves against each other, `step` bytes at a time; what each side sent.
    fn converse(variant: Variant, step: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
        let mut client = Client::new(variant, 1, &mut to_server);
        let mut server = Server::new(2);
        let (mut read_by_server, mut read_by_client) = (0, 0);
        let (mut client_done, mut server_done) = (false, false);
        while !(client_done && server_done) {
            let end = to_server.len().min(read_by_server + step);
            server_done |=
                server.read(&mut &to_server[read_by_server..end], &mut to_client).unwrap();
            read_by_server = end;
            let end = to_client.len().min(read_by_client + step);
            client_done |=
                client.read(&mut &to_client[read_by_client..end], &mut to_server).unwrap();
            read_by_client = end;
        }
        (to_server.to_vec(), to_client.to_vec())
    }

    #[test]
    fn plain_blocks_are_echoed() {
        let (client, server) = converse(Variant::Plain, usize::MAX / 2);
        assert_eq!(client.len(), 1 + 2 * BLOCK);
        assert_eq!(server.len(), 1 + 2 * BLOCK);
        assert_eq!(client[1..=BLOCK], server[1 + BLOCK..], "S2 echoes C1");
        assert_eq!(server[1..=BLOCK], client[1 + BLOCK..], "C2 echoes S1");
        assert_eq!(server[5..9], [0; 4], "a plain S1 has no version");
    }

    #[test]
    fn digest_answers_verify() {
        let (client, server) = converse(Variant::Digest, usize::MAX / 2);
        let c1: &Block = client[1..=BLOCK].try_into().unwrap();
        let s1: &Block = server[1..=BLOCK].try_into().unwrap();
        let c1_digest = Scheme::First.verify(c1, CLIENT_KEY).unwrap();
        let s1_digest = Scheme::First.verify(s1, SERVER_KEY).unwrap();
        for (block, digest, key) in [
            (&server[1 + BLOCK..], c1_digest, SERVER_KEY),
            (&client[1 + BLOCK..], s1_digest, CLIENT_KEY),
        ] {
            let key = sign(&whole_key(key), &[&digest]);
            assert_eq!(block[BLOCK - DIGEST..], sign(&key, &[&block[..BLOCK - DIGEST]]));
        }
    }

    #[test]
    fn second_scheme_is_answered_in_kind() {
        let mut c1 = Noise(7).block(CLIENT_SOFTWARE);
        Scheme::Second.imprint(&mut c1, CLIENT_KEY);
        let mut out = BytesMut::new();
        reply(&c1, &mut Noise(8), &mut out);
        let s1: &Block = out[1..=BLOCK].try_into().unwrap();
        assert!(Scheme::Second.verify(s1, SERVER_KEY).is_some());
    }

    #[test]
    fn splitting_the_input_changes_nothing() {
        for variant in [Variant::Plain, Variant::Digest] {
            let whole = converse(variant, usize::MAX / 2);
            for step in [1, 2, 7, 1535, 1536, 1537, 1538] {
                assert_eq!(converse(variant, step), whole, "{variant:?} by {step}");
            }
        }
    }

    #[test]
    fn what_follows_c2_is_left_alone() {
        let (client, _) = converse(Variant::Plain, usize::MAX / 2);
        let bytes = [client.as_slice(), &[2, 0, 0]].concat();
        let mut input = bytes.as_slice();
        assert_eq!(Server::new(0).read(&mut input, &mut BytesMut::new()), Ok(true));
        assert_eq!(input, [2, 0, 0]);
    }

    #[test]
    fn other_versions_are_refused() {
        for version in [0, 6, b'G', 0x16] {
            let refused = Server::new(0).read(&mut [version].as_slice(), &mut BytesMut::new());
            assert_eq!(refused, Err(Error::UnsupportedVersion(version)));
        }
    }

    #[test]
    fn an_offset_at_its_maximum_stays_inside() {
        for scheme in [Scheme::First, Scheme::Second] {
            let mut block = [0; BLOCK];
            // 727 = 255 + 255 + 217 + 0
            for (i, value) in [255, 255, 217, 0].into_iter().enumerate() {
                block[scheme.base() + i] = value;
            }
            scheme.imprint(&mut block, SERVER_KEY);
            assert!(scheme.verify(&block, SERVER_KEY).is_some());
        }
    }
}
