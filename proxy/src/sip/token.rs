//! Values we hand out and get back: the branch of our Via, which finds a client transaction without a look-up, and the
//! Record-Route token, which names call, attempt and partition even when nobody remembers the call. Both carry a keyed
//! check, so a stranger cannot make one.
//!
//! Branch: `z9hG4bKtg` + 8 hex digits of index + 8 of generation + 8 of check.
//! Token: 68 hex digits: version 1, key id 1, partition 2, attempt 1, spare 1, call id 16, check 12 bytes.

use tollgate_schemas::id::Id;

const COOKIE: &[u8] = b"z9hG4bKtg";

/// The secret of one data folder, and the names derived from it.
#[derive(Clone)]
pub struct Keyring {
    secret: [u8; 32],
    key_id: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteToken {
    pub call: Id,
    pub attempt: u8,
    pub partition: u16,
}

impl Keyring {
    pub fn new(secret: [u8; 32], key_id: u8) -> Keyring {
        Keyring { secret, key_id }
    }

    /// A keyed hash, for tables whose keys peers choose and for short checks.
    pub fn hash(&self, parts: &[&[u8]]) -> u128 {
        // In one piece: the incremental hasher is two kilobytes of state that would be moved about for a few dozen
        // bytes of input.
        let mut joined = arrayvec::ArrayVec::<u8, 512>::new();
        let fits = parts.iter().all(|part| {
            joined.try_extend_from_slice(&(part.len() as u32).to_le_bytes()).and_then(|()| joined.try_extend_from_slice(part)).is_ok()
        });
        let digest = if fits {
            blake3::keyed_hash(&self.secret, &joined)
        } else {
            let all: Vec<u8> = parts.iter().flat_map(|p| [&(p.len() as u32).to_le_bytes()[..], p].concat()).collect();
            blake3::keyed_hash(&self.secret, &all)
        };
        let mut out = [0u8; 16];
        out.copy_from_slice(&digest.as_bytes()[..16]);
        u128::from_le_bytes(out)
    }

    fn short_check(&self, index: u32, generation: u32) -> u32 {
        // A cheap keyed mix: a forged branch only reaches the machine of a transaction that exists, whose peer's
        // address is checked as well.
        let mut x = u64::from(index) << 32 | u64::from(generation);
        for chunk in self.secret[..16].chunks_exact(8) {
            let k = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
            x = (x ^ k).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x ^= x >> 29;
        }
        (x >> 32) as u32
    }

    pub fn write_branch(&self, index: u32, generation: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(COOKIE);
        push_hex(out, u128::from(index), 8);
        push_hex(out, u128::from(generation), 8);
        push_hex(out, u128::from(self.short_check(index, generation)), 8);
    }

    /// Index and generation of a branch that we made.
    pub fn read_branch(&self, branch: &[u8]) -> Option<(u32, u32)> {
        let rest = branch.strip_prefix(COOKIE)?;
        if rest.len() != 24 {
            return None;
        }
        let index = read_hex(&rest[..8])? as u32;
        let generation = read_hex(&rest[8..16])? as u32;
        (read_hex(&rest[16..])? as u32 == self.short_check(index, generation)).then_some((index, generation))
    }

    /// True for any branch in our form: our own Via came back (a loop), whoever of us made it.
    pub fn looks_ours(branch: &[u8]) -> bool {
        branch.starts_with(COOKIE) && branch.len() == COOKIE.len() + 24
    }

    pub fn write_token(&self, token: &RouteToken, out: &mut Vec<u8>) {
        let head = self.token_head(token);
        push_hex(out, u128::from(u64::from_be_bytes(first8(&head))) >> 16, 12);
        push_hex(out, token.call.0, 32);
        push_hex(out, self.token_check(&head), 24);
    }

    /// The token, if its check is right.
    pub fn read_token(&self, text: &[u8]) -> Option<RouteToken> {
        if text.len() != 68 {
            return None;
        }
        let head = read_hex(&text[..12])?;
        if head >> 32 != 1 << 8 | u128::from(self.key_id) || head & 0xff != 0 {
            return None;
        }
        let token = RouteToken {
            call: Id(read_hex(&text[12..44])?),
            attempt: (head >> 8) as u8,
            partition: (head >> 16) as u16,
        };
        (read_hex(&text[44..])? == self.token_check(&self.token_head(&token))).then_some(token)
    }

    fn token_head(&self, token: &RouteToken) -> [u8; 22] {
        let mut head = [0u8; 22];
        head[0] = 1;
        head[1] = self.key_id;
        head[2..4].copy_from_slice(&token.partition.to_be_bytes());
        head[4] = token.attempt;
        head[6..].copy_from_slice(&token.call.0.to_be_bytes());
        head
    }

    fn token_check(&self, head: &[u8; 22]) -> u128 {
        let hash = blake3::keyed_hash(&self.secret, head);
        let mut out = [0u8; 16];
        out[4..].copy_from_slice(&hash.as_bytes()[..12]);
        u128::from_be_bytes(out)
    }
}

fn first8(b: &[u8; 22]) -> [u8; 8] {
    [b[0], b[1], b[2], b[3], b[4], b[5], 0, 0]
}

pub fn push_hex(out: &mut Vec<u8>, value: u128, digits: usize) {
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (4 * i)) as usize & 15]);
    }
}

fn read_hex(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0u128, |v, b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'f' => b - b'a' + 10,
            _ => return None,
        };
        Some(v << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_02_a_branch_names_its_transaction_and_cannot_be_guessed() {
        let keys = Keyring::new([7; 32], 1);
        let mut branch = Vec::new();
        keys.write_branch(77, 3, &mut branch);
        assert!(branch.starts_with(b"z9hG4bK"));
        assert_eq!(keys.read_branch(&branch), Some((77, 3)));
        assert_eq!(Keyring::new([8; 32], 1).read_branch(&branch), None);
        let mut forged = branch.clone();
        forged[16] ^= 1;
        assert_eq!(keys.read_branch(&forged), None);
    }

    #[test]
    fn a_hash_depends_on_every_part_and_its_length() {
        let keys = Keyring::new([7; 32], 1);
        let long = vec![b'x'; 2_000];
        let all = [keys.hash(&[b"ab", b"c"]), keys.hash(&[b"a", b"bc"]), keys.hash(&[b"abc"]), keys.hash(&[&long]), keys.hash(&[&long[1..]])];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
        assert_eq!(keys.hash(&[b"ab", b"c"]), all[0]);
    }

    #[test]
    fn x_07_a_route_token_is_authentic_or_nothing() {
        let keys = Keyring::new([9; 32], 2);
        let token = RouteToken { call: Id(0x0123_4567_89ab_cdef_0011_2233_4455_6677), attempt: 3, partition: 11 };
        let mut text = Vec::new();
        keys.write_token(&token, &mut text);
        assert_eq!((text.len(), keys.read_token(&text)), (68, Some(token)));
        for i in 0..text.len() {
            let mut forged = text.clone();
            forged[i] = if forged[i] == b'0' { b'1' } else { b'0' };
            assert_eq!(keys.read_token(&forged), None, "digit {i}");
        }
        assert_eq!(Keyring::new([9; 32], 3).read_token(&text), None);
    }
}
