//! The message files of this folder as seeds for mutation.

use std::path::Path;

/// Every message of the corpus with its name, in the order of the names.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> = ["valid", "invalid"]
        .into_iter()
        .flat_map(|kind| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/torture")
                .join(kind);
            std::fs::read_dir(&folder)
                .expect("corpus folder")
                .map(move |entry| {
                    let path = entry.expect("corpus entry").path();
                    (
                        format!(
                            "{kind}/{}",
                            path.file_name().expect("name").to_string_lossy()
                        ),
                        std::fs::read(&path).expect("message"),
                    )
                })
        })
        .collect();
    seeds.sort();
    seeds
}

/// xorshift64*: the same sequence on every run.
pub struct Random(pub u64);

impl Random {
    /// 0 to `n` - 1.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % n
    }
}

/// A seed with one to four small changes: a byte altered, a piece of SIP put in, a stretch cut or doubled, or a stretch
/// of another seed.
pub fn mutated(seeds: &[(String, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    const PIECES: [&[u8]; 22] = [
        b",",
        b";",
        b"\"",
        b"<",
        b">",
        b":",
        b"\r\n",
        b"\r\n ",
        b" ",
        b"\0",
        b"\\",
        b"=",
        b"%",
        b"[",
        b"]",
        b"@",
        b"?",
        b"/",
        b"\xff",
        b"l: 0\r\n",
        b"Via: SIP/2.0/UDP x.example;branch=z9hG4bKx\r\n",
        b";tag=x",
    ];
    let mut bytes = seeds[random.below(seeds.len())].1.clone();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            1 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            _ => {
                let other = &seeds[random.below(seeds.len())].1;
                let from = random.below(other.len());
                let to = (from + random.below(60)).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}
