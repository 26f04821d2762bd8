//! CDR columns in arrow: the schema, rows to record batches and back, all from the one column table
//! (`tollgate_schemas::cdr::COLUMNS`). Money is Decimal(18,8), rates Decimal(20,12), times UTC microseconds,
//! ids 16 bytes, an optional column is nullable and no other is.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanBuilder, Decimal128Builder, FixedSizeBinaryBuilder, PrimitiveBuilder, RecordBatch,
        StringBuilder,
    },
    datatypes::{
        DataType, Decimal128Type, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, UInt32Type, UInt64Type,
    },
    error::ArrowError,
};
use tollgate_schemas::cdr::{COLUMNS, Cdr, Column, ColumnType, Value};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>())));

/// The arrow schema of CDR batches and files.
pub fn schema() -> SchemaRef {
    SCHEMA.clone()
}

fn field(c: &Column) -> Field {
    let ty = match c.ty {
        ColumnType::Uuid => DataType::FixedSizeBinary(16),
        ColumnType::Str => DataType::Utf8,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::U32 => DataType::UInt32,
        ColumnType::U64 => DataType::UInt64,
        ColumnType::Ts => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Money => DataType::Decimal128(18, 8),
        ColumnType::Rate => DataType::Decimal128(20, 12),
    };
    Field::new(c.name, ty, c.optional)
}

enum Builder {
    Uuid(FixedSizeBinaryBuilder),
    Str(StringBuilder),
    Bool(BooleanBuilder),
    U32(PrimitiveBuilder<UInt32Type>),
    U64(PrimitiveBuilder<UInt64Type>),
    Ts(PrimitiveBuilder<TimestampMicrosecondType>),
    Decimal(Decimal128Builder),
}

impl Builder {
    /// `sample`: some of the rows, from which the room for texts is guessed: growing it would copy it several times.
    fn new(column: &Column, data_type: &DataType, rows: usize, sample: &[Arc<Cdr>]) -> Builder {
        let texts = || {
            let len = |row: &Arc<Cdr>| if let Value::Str(s) = (column.get)(row) { s.len() } else { 0 };
            sample.iter().map(len).sum::<usize>() * rows / sample.len().max(1)
        };
        match column.ty {
            ColumnType::Uuid => Builder::Uuid(FixedSizeBinaryBuilder::with_capacity(rows, 16)),
            ColumnType::Str => Builder::Str(StringBuilder::with_capacity(rows, texts() * 9 / 8 + 64)),
            ColumnType::Bool => Builder::Bool(BooleanBuilder::with_capacity(rows)),
            ColumnType::U32 => Builder::U32(PrimitiveBuilder::with_capacity(rows)),
            ColumnType::U64 => Builder::U64(PrimitiveBuilder::with_capacity(rows)),
            ColumnType::Ts => Builder::Ts(PrimitiveBuilder::with_capacity(rows).with_data_type(data_type.clone())),
            ColumnType::Money | ColumnType::Rate => {
                Builder::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone()))
            }
        }
    }

    /// The value is of this column's type: both come from the column table.
    fn append(&mut self, value: Value<'_>) -> Result<(), ArrowError> {
        match (self, value) {
            (Builder::Uuid(b), Value::Uuid(v)) => b.append_value(v)?,
            (Builder::Str(b), Value::Str(v)) => b.append_value(v),
            (Builder::Bool(b), Value::Bool(v)) => b.append_value(v),
            (Builder::U32(b), Value::U32(v)) => b.append_value(v),
            (Builder::U64(b), Value::U64(v)) => b.append_value(v),
            (Builder::Ts(b), Value::Ts(v)) => b.append_value(v),
            (Builder::Decimal(b), Value::Money(v) | Value::Rate(v)) => b.append_value(i128::from(v)),
            (Builder::Uuid(b), _) => b.append_null(),
            (Builder::Str(b), _) => b.append_null(),
            (Builder::Bool(b), _) => b.append_null(),
            (Builder::U32(b), _) => b.append_null(),
            (Builder::U64(b), _) => b.append_null(),
            (Builder::Ts(b), _) => b.append_null(),
            (Builder::Decimal(b), _) => b.append_null(),
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Builder::Uuid(mut b) => Arc::new(b.finish()),
            Builder::Str(mut b) => Arc::new(b.finish()),
            Builder::Bool(mut b) => Arc::new(b.finish()),
            Builder::U32(mut b) => Arc::new(b.finish()),
            Builder::U64(mut b) => Arc::new(b.finish()),
            Builder::Ts(mut b) => Arc::new(b.finish()),
            Builder::Decimal(mut b) => Arc::new(b.finish()),
        }
    }
}

/// Rows as one record batch with every column.
pub fn to_batch(rows: &[Arc<Cdr>]) -> Result<RecordBatch, ArrowError> {
    batch_of(&COLUMNS.iter().collect::<Vec<_>>(), &schema(), rows)
}

/// The schema of some columns, in the order given.
pub(crate) fn schema_of(columns: &[&'static Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|c| field(c)).collect::<Vec<_>>()))
}

/// Rows as one record batch with these columns, whose schema is `schema`.
pub(crate) fn batch_of(columns: &[&'static Column], schema: &SchemaRef, rows: &[Arc<Cdr>]) -> Result<RecordBatch, ArrowError> {
    // Blocks of rows that fit the cache: a column's cells of one block are appended before the next column's.
    const BLOCK: usize = 32;
    let sample = &rows[..rows.len().min(BLOCK)];
    let mut builders: Vec<Builder> =
        columns.iter().zip(schema.fields()).map(|(c, f)| Builder::new(c, f.data_type(), rows.len(), sample)).collect();
    for block in rows.chunks(BLOCK) {
        for (column, builder) in columns.iter().zip(&mut builders) {
            for row in block {
                builder.append((column.get)(row))?;
            }
        }
    }
    RecordBatch::try_new(schema.clone(), builders.into_iter().map(Builder::finish).collect())
}

/// Rows of a batch that has some of the columns, by name; the others stay as in an empty row.
pub(crate) fn some_from_batch(batch: &RecordBatch) -> Result<Vec<Cdr>, ArrowError> {
    let mut rows = vec![Cdr::default(); batch.num_rows()];
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if let Some(column) = tollgate_schemas::cdr::column(field.name()) {
            set_column(&mut rows, column, array)?;
        }
    }
    Ok(rows)
}

/// Rows of a batch that has every column of the table, by name.
pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Cdr>, ArrowError> {
    let mut rows = vec![Cdr::default(); batch.num_rows()];
    for column in COLUMNS {
        let array = batch
            .column_by_name(column.name)
            .ok_or_else(|| ArrowError::SchemaError(format!("column {} is missing", column.name)))?;
        set_column(&mut rows, column, array)?;
    }
    Ok(rows)
}

fn set_column(rows: &mut [Cdr], column: &Column, array: &ArrayRef) -> Result<(), ArrowError> {
    let wrong = || ArrowError::SchemaError(format!("column {} is stored as {}", column.name, array.data_type()));
    let decimal = |i: usize| -> Result<i64, ArrowError> {
        let value = array.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?.value(i);
        i64::try_from(value).map_err(|_| ArrowError::CastError(format!("column {}: {value} does not fit 64 bits", column.name)))
    };
    let valid = |i: &usize| array.is_valid(*i);
    let all = (0..rows.len()).filter(valid);
    macro_rules! fill {
        ($array:expr, $variant:ident) => {{
            let cells = $array.ok_or_else(wrong)?;
            all.for_each(|i| (column.set)(&mut rows[i], Value::$variant(cells.value(i))))
        }};
    }
    match column.ty {
        ColumnType::Uuid => fill!(array.as_fixed_size_binary_opt(), Uuid),
        ColumnType::Str => fill!(array.as_string_opt::<i32>(), Str),
        ColumnType::Bool => fill!(array.as_boolean_opt(), Bool),
        ColumnType::U32 => fill!(array.as_primitive_opt::<UInt32Type>(), U32),
        ColumnType::U64 => fill!(array.as_primitive_opt::<UInt64Type>(), U64),
        ColumnType::Ts => fill!(array.as_primitive_opt::<TimestampMicrosecondType>(), Ts),
        ColumnType::Money => {
            for i in all {
                (column.set)(&mut rows[i], Value::Money(decimal(i)?));
            }
        }
        ColumnType::Rate => {
            for i in all {
                (column.set)(&mut rows[i], Value::Rate(decimal(i)?));
            }
        }
    }
    Ok(())
}
