//! Writes a segment, and puts it in its place.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use prost::Message;
use tollgate_schemas::log::Record;

use super::segment::{Bad, FRAME, FRAME_MOST, HEADER, Hash, Header, TRAILER, check, seal};

/// Encoded bytes at which a frame is full.
const FRAME_BYTES: usize = 256 << 10;
const LEVEL: i32 = 3;

/// A segment that is being written. Dropped before it is closed, it leaves nothing.
pub struct Writer {
    file: BufWriter<File>,
    temp: PathBuf,
    keep: bool,
    header: Header,
    hash: blake3::Hasher,
    packer: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    /// First and last offset in `raw`, and how many.
    frame: (u64, u64, u32),
}

static TEMPS: AtomicU64 = AtomicU64::new(0);

impl Writer {
    pub fn create(folder: &Path, partition: u16, from: u64, previous: Hash) -> io::Result<Writer> {
        // Of this process and thread alone: two owners, one of them dead without knowing it, never write to one file.
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
        let (random, number) = (u64::from_be_bytes(random), TEMPS.fetch_add(1, Ordering::Relaxed));
        let temp = folder.join(format!("{from:020}.{random:016x}-{number}.tmp"));
        let file = OpenOptions::new().write(true).create_new(true).open(&temp)?;
        let mut file = BufWriter::with_capacity(64 << 10, file);
        let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
        packer.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
        file.write_all(&[0; HEADER])?;
        Ok(Writer {
            file,
            temp,
            keep: false,
            header: Header { partition, from, first: from, last: from, count: 0, raw: 0, body: 0, previous },
            hash: blake3::Hasher::new(),
            packer,
            raw: Vec::with_capacity(FRAME_BYTES * 5 / 4),
            frame: (0, 0, 0),
        })
    }

    /// Encoded bytes so far.
    pub fn bytes(&self) -> u64 {
        self.header.raw + self.raw.len() as u64
    }

    pub fn push(&mut self, record: &Record) -> io::Result<()> {
        let (first, last, count) = &mut self.frame;
        if *count == 0 {
            (*first, *last) = (record.offset, record.offset);
        }
        prost::encoding::encode_varint(record.offset - *last, &mut self.raw);
        // A Vec takes any length, so this cannot fail.
        let _ = record.event.encode_length_delimited(&mut self.raw);
        *last = record.offset;
        *count += 1;
        if self.header.count == 0 {
            self.header.first = record.offset;
        }
        self.header.last = record.offset;
        self.header.count += 1;
        if self.raw.len() >= FRAME_BYTES { self.pack() } else { Ok(()) }
    }

    fn pack(&mut self) -> io::Result<()> {
        let (first, last, count) = std::mem::take(&mut self.frame);
        if count == 0 {
            return Ok(());
        }
        let raw = u32::try_from(self.raw.len()).ok().filter(|raw| *raw <= FRAME_MOST);
        let raw = raw.ok_or_else(|| io::Error::other(format!("an event at offset {last} is too large to be archived")))?;
        let packed = self.packer.compress(&self.raw)?;
        let mut head = Vec::with_capacity(FRAME);
        head.extend(first.to_be_bytes());
        head.extend(last.to_be_bytes());
        for number in [count, raw, packed.len() as u32] {
            head.extend(number.to_be_bytes());
        }
        for part in [&head, &packed] {
            self.hash.update(part);
            self.file.write_all(part)?;
            self.header.body += part.len() as u64;
        }
        self.header.raw += u64::from(raw);
        self.raw.clear();
        Ok(())
    }

    /// Makes it durable under its own name; it must be [`publish`]ed.
    pub fn close(mut self) -> io::Result<Closed> {
        self.pack()?;
        let header = self.header.encode();
        let hash = seal(&header, &self.hash);
        self.file.write_all(&hash)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        self.keep = true;
        Ok(Closed { temp: self.temp.clone(), header: self.header.clone(), hash, bytes: (HEADER + TRAILER) as u64 + self.header.body })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_file(&self.temp);
        }
    }
}

/// A whole segment that is not in its place yet.
pub struct Closed {
    temp: PathBuf,
    pub header: Header,
    pub hash: Hash,
    pub bytes: u64,
}

impl Drop for Closed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temp);
    }
}

/// Puts a segment in its place; false when a sound one is there already, which then stays.
pub fn publish(closed: &Closed, folder: &Path) -> io::Result<bool> {
    let place = super::place(folder, closed.header.from);
    match std::fs::hard_link(&closed.temp, &place) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(e),
        // There already; or a share without links.
        Err(e) => match check(&place, closed.header.from) {
            Ok(_) => return Ok(false),
            Err(Bad::Io(missing)) if missing.kind() == io::ErrorKind::NotFound && e.kind() != io::ErrorKind::AlreadyExists => {
                std::fs::rename(&closed.temp, &place)?;
            }
            Err(Bad::Io(e)) => return Err(e),
            Err(Bad::Damaged { problem, .. }) => {
                tracing::error!(segment = %place.display(), problem, "an archived segment was damaged, and is written again");
                std::fs::rename(&closed.temp, &place)?;
            }
        },
    }
    File::open(folder)?.sync_all()?;
    Ok(true)
}
