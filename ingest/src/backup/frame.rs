//! Frames: compressed, chained, and read back only when they are what was written.

use std::io::{ErrorKind, Read, Write};

use blake3::Hash;
use zstd::bulk::{Compressor, Decompressor};

use super::{BackupError, FORM, FRAME_MAX, MAGIC};

/// Fast, and a quarter of the bytes.
const LEVEL: i32 = 3;
/// Kind and both lengths.
const HEAD: usize = 9;
const CHAIN: usize = 32;

fn first(form: u16) -> Hash {
    let mut h = blake3::Hasher::new();
    h.update(MAGIC).update(&form.to_be_bytes());
    h.finalize()
}

fn next(chain: &Hash, head: &[u8], stored: &[u8]) -> Hash {
    let mut h = blake3::Hasher::new();
    h.update(chain.as_bytes()).update(head).update(stored);
    h.finalize()
}

pub struct FrameWriter<W> {
    out: W,
    chain: Hash,
    zstd: Compressor<'static>,
    buffer: Vec<u8>,
    pub frames: u64,
    pub bytes: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Writes the file's beginning.
    pub fn new(mut out: W) -> Result<FrameWriter<W>, BackupError> {
        let zstd = Compressor::new(LEVEL).map_err(BackupError::Output)?;
        let head = [&MAGIC[..], &FORM.to_be_bytes()].concat();
        out.write_all(&head).map_err(BackupError::Output)?;
        Ok(FrameWriter { out, chain: first(FORM), zstd, buffer: Vec::new(), frames: 0, bytes: head.len() as u64 })
    }

    /// One frame, in one write.
    pub fn frame(&mut self, kind: u8, content: &[u8]) -> Result<(), BackupError> {
        if content.len() > FRAME_MAX {
            return Err(BackupError::Refused(format!("an event of {} bytes is more than a backup's frame holds", content.len())));
        }
        let stored = self.zstd.compress(content).map_err(BackupError::Output)?;
        self.buffer.clear();
        self.buffer.push(kind);
        self.buffer.extend((content.len() as u32).to_be_bytes());
        self.buffer.extend((stored.len() as u32).to_be_bytes());
        self.chain = next(&self.chain, &self.buffer, &stored);
        self.buffer.extend(&stored);
        self.buffer.extend(self.chain.as_bytes());
        self.out.write_all(&self.buffer).map_err(BackupError::Output)?;
        self.frames += 1;
        self.bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Flushes; gives the last chain.
    pub fn finish(mut self) -> Result<(Hash, u64), BackupError> {
        self.out.flush().map_err(BackupError::Output)?;
        Ok((self.chain, self.bytes))
    }
}

pub struct FrameReader<R> {
    from: R,
    pub chain: Hash,
    zstd: Decompressor<'static>,
    /// Of the byte to read next.
    pub at: u64,
    pub frames: u64,
}

impl<R: Read> FrameReader<R> {
    /// Reads the file's beginning. Refused: another kind of file, a newer form.
    pub fn new(from: R) -> Result<FrameReader<R>, BackupError> {
        let zstd = Decompressor::new().map_err(BackupError::Input)?;
        let mut reader = FrameReader { from, chain: first(FORM), zstd, at: 0, frames: 0 };
        let mut head = [0; 10];
        let got = reader.fill(&mut head)?;
        if got < head.len() || head[..8] != MAGIC[..] {
            return Err(BackupError::Refused("this is no backup of Tollgate".to_owned()));
        }
        match u16::from_be_bytes([head[8], head[9]]) {
            FORM => Ok(reader),
            form => Err(BackupError::Refused(format!("the backup has form {form}, this program reads up to {FORM}: use the program that wrote it, or a newer one"))),
        }
    }

    /// As much as there is.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, BackupError> {
        let mut got = 0;
        while got < buffer.len() {
            match self.from.read(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A connection that broke off; a file is then torn, too.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => break,
                Err(e) => return Err(BackupError::Input(e)),
            }
        }
        self.at += got as u64;
        Ok(got)
    }

    /// The next frame; none at the file's end.
    pub fn frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, BackupError> {
        let begins = self.at;
        let damaged = |problem: &str| BackupError::Damaged { at: begins, problem: problem.to_owned() };
        let torn = |at: u64| BackupError::Damaged { at: begins, problem: format!("the file ends at byte {at} inside of the frame that begins here: it is torn") };
        let mut head = [0; HEAD];
        match self.fill(&mut head)? {
            0 => return Ok(None),
            HEAD => {}
            _ => return Err(torn(self.at)),
        }
        let length = |from: usize| u32::from_be_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]) as usize;
        let (content, stored) = (length(1), length(5));
        if content > FRAME_MAX || stored > FRAME_MAX + (FRAME_MAX >> 4) {
            return Err(damaged("its length cannot be: the frame is not what was written"));
        }
        // Not all at once: a length that lies must not take the memory it names.
        let mut bytes = Vec::new();
        while bytes.len() < stored + CHAIN {
            let have = bytes.len();
            bytes.resize((have + (1 << 20)).min(stored + CHAIN), 0);
            if self.fill(&mut bytes[have..])? < bytes.len() - have {
                return Err(torn(self.at));
            }
        }
        let chain = next(&self.chain, &head, &bytes[..stored]);
        if chain.as_bytes()[..] != bytes[stored..] {
            return Err(damaged("the frame that begins here is not what its hash says: the file was changed"));
        }
        let plain = self.zstd.decompress(&bytes[..stored], content).map_err(|e| damaged(&format!("it cannot be decompressed: {e}")))?;
        if plain.len() != content {
            return Err(damaged("its content is shorter than it says"));
        }
        (self.chain, self.frames) = (chain, self.frames + 1);
        Ok(Some((head[0], plain)))
    }
}
