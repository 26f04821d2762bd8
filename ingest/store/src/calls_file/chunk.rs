//! A column chunk made by hand. What rating adds is few different values at many rows, which are numbered already when
//! they come here; a general writer would hash every cell to find that out.
//!
//! Pages are of version 1: `[definition levels, where cells may be null] [values]`, compressed as one. Values are their
//! numbers in the dictionary (`RLE_DICTIONARY`, a byte of bit width, then one run) or 64-bit integers (`PLAIN`).

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::{page::{CompressedPage, Page, PageWriter}, writer::ColumnCloseResult},
    errors::ParquetError,
    file::{metadata::ColumnChunkMetaData, writer::{SerializedPageWriter, TrackedWrite}},
    schema::types::ColumnDescPtr,
};

/// Rows of a page: a megabyte of integers.
const PAGE_ROWS: usize = 1 << 17;

/// Number of a cell that is null.
pub(super) const NULL: u32 = u32::MAX;

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Snappy,
    Zstd,
}

impl Codec {
    /// As the input where that is Snappy, else Zstandard.
    pub(super) fn like(input: Compression) -> Codec {
        if matches!(input, Compression::SNAPPY | Compression::UNCOMPRESSED) { Codec::Snappy } else { Codec::Zstd }
    }

    pub(super) fn compression(self) -> Compression {
        match self {
            Codec::Snappy => Compression::SNAPPY,
            Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
        }
    }

    fn compress(self, bytes: &[u8]) -> Result<Bytes, ParquetError> {
        let compressed = match self {
            Codec::Snappy => snap::raw::Encoder::new().compress_vec(bytes).map_err(|e| ParquetError::General(e.to_string()))?,
            Codec::Zstd => zstd::bulk::compress(bytes, 1)?,
        };
        Ok(compressed.into())
    }
}

/// The bytes of a column chunk and what the file's footer says of it.
pub(super) struct Chunk {
    pub bytes: Bytes,
    pub close: ColumnCloseResult,
}

/// Writes a chunk page by page.
pub(super) struct ChunkWriter {
    column: ColumnDescPtr,
    codec: Codec,
    sink: TrackedWrite<Vec<u8>>,
    uncompressed: usize,
    dictionary: bool,
    data_at: Option<u64>,
    rows: usize,
    page: Vec<u8>,
}

impl ChunkWriter {
    pub(super) fn new(column: ColumnDescPtr, codec: Codec) -> ChunkWriter {
        let sink = TrackedWrite::new(Vec::new());
        ChunkWriter { column, codec, sink, uncompressed: 0, dictionary: false, data_at: None, rows: 0, page: Vec::new() }
    }

    /// Cells by their numbers in a dictionary of `count` values, which are given as `PLAIN` writes them.
    pub(super) fn numbered(mut self, dictionary: &[u8], count: usize, cells: &[u32]) -> Result<Chunk, ParquetError> {
        let buf = self.codec.compress(dictionary)?;
        let page = Page::DictionaryPage { buf, num_values: count as u32, encoding: Encoding::PLAIN, is_sorted: false };
        self.write(page, dictionary.len())?;
        self.dictionary = true;
        let width = (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1);
        for cells in cells.chunks(PAGE_ROWS) {
            self.levels(cells.iter().map(|cell| *cell != NULL));
            self.page.push(width as u8);
            match cells.first() {
                // One value for all: a run.
                Some(first) if count == 1 && *first != NULL && cells.iter().all(|cell| cell == first) => {
                    varint(&mut self.page, cells.len() << 1);
                    self.page.extend_from_slice(&first.to_le_bytes()[..width.div_ceil(8) as usize]);
                }
                _ => pack(&mut self.page, width, cells.iter().copied().filter(|cell| *cell != NULL)),
            }
            self.data(cells.len(), Encoding::RLE_DICTIONARY)?;
        }
        self.close()
    }

    /// Integers; where `valid` says no, the cell is null.
    pub(super) fn integers(mut self, cells: &[i64], valid: &[bool]) -> Result<Chunk, ParquetError> {
        for (cells, valid) in cells.chunks(PAGE_ROWS).zip(valid.chunks(PAGE_ROWS)) {
            self.levels(valid.iter().copied());
            for (cell, _) in cells.iter().zip(valid).filter(|(_, valid)| **valid) {
                self.page.extend_from_slice(&cell.to_le_bytes());
            }
            self.data(cells.len(), Encoding::PLAIN)?;
        }
        self.close()
    }

    /// Definition levels, where the column has them.
    fn levels(&mut self, valid: impl Iterator<Item = bool> + Clone) {
        self.page.clear();
        if self.column.max_def_level() == 0 {
            return;
        }
        let length_at = self.page.len();
        self.page.extend_from_slice(&[0; 4]);
        if valid.clone().all(|valid| valid) {
            varint(&mut self.page, valid.count() << 1);
            self.page.push(1);
        } else {
            pack(&mut self.page, 1, valid.map(u32::from));
        }
        let length = (self.page.len() - length_at - 4) as u32;
        self.page[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn data(&mut self, rows: usize, encoding: Encoding) -> Result<(), ParquetError> {
        let buf = self.codec.compress(&self.page)?;
        let page = Page::DataPage {
            buf,
            num_values: rows as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.rows += rows;
        self.data_at.get_or_insert(self.sink.bytes_written() as u64);
        self.write(page, self.page.len())
    }

    fn write(&mut self, page: Page, uncompressed: usize) -> Result<(), ParquetError> {
        let written = SerializedPageWriter::new(&mut self.sink).write_page(CompressedPage::new(page, uncompressed))?;
        self.uncompressed += written.uncompressed_size;
        Ok(())
    }

    fn close(self) -> Result<Chunk, ParquetError> {
        let bytes_written = self.sink.bytes_written() as u64;
        let encodings = match self.dictionary {
            true => vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY],
            false => vec![Encoding::PLAIN, Encoding::RLE],
        };
        let metadata = ColumnChunkMetaData::builder(self.column)
            .set_compression(self.codec.compression())
            .set_encodings(encodings)
            .set_total_compressed_size(bytes_written as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.rows as i64)
            .set_data_page_offset(self.data_at.unwrap_or(0) as i64)
            .set_dictionary_page_offset(self.dictionary.then_some(0))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written,
            rows_written: self.rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok(Chunk { bytes: self.sink.into_inner()?.into(), close })
    }
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One run of packed numbers, `width` bits each, filled with zeros to whole groups of eight.
fn pack(out: &mut Vec<u8>, width: u32, numbers: impl Iterator<Item = u32> + Clone) {
    let groups = numbers.clone().count().div_ceil(8);
    varint(out, groups << 1 | 1);
    let end = out.len() + groups * width as usize;
    out.reserve(groups * width as usize + 8);
    let (mut waiting, mut bits) = (0u64, 0);
    for number in numbers {
        waiting |= u64::from(number) << bits;
        bits += width;
        if bits >= 32 {
            out.extend_from_slice(&(waiting as u32).to_le_bytes());
            waiting >>= 32;
            bits -= 32;
        }
    }
    out.extend_from_slice(&waiting.to_le_bytes());
    out.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_packed_from_the_lowest_bit_as_the_format_says() {
        // The example of the format's page: 0 to 7 with three bits.
        let mut out = Vec::new();
        pack(&mut out, 3, 0..8);
        assert_eq!(out, [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        // Nine of one bit fill two groups.
        out.clear();
        pack(&mut out, 1, [1, 0, 1, 1, 0, 0, 0, 0, 1].into_iter());
        assert_eq!(out, [0b101, 0b0000_1101, 1]);
    }
}
