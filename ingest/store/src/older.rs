//! Files that were written when the column table was shorter. Columns that came later ([`Column::since`]) hold in their rows
//! what an empty row has: null where they may be unknown, else nothing or 0. Files are not touched for it; one that is merged
//! with others gets the columns there.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
};
use datafusion::{
    common::{Result, ScalarValue},
    physical_expr_adapter::{DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory, replace_columns_with_literals},
    physical_plan::PhysicalExpr,
};
use tollgate_schemas::cdr::{COLUMNS, Column};

use crate::columns;

/// The table's columns that a file does not have, if it is one of ours: only those may be missing that came later.
pub(crate) fn missing(has: impl Fn(&str) -> bool) -> std::result::Result<Vec<&'static Column>, &'static Column> {
    let missing: Vec<&Column> = COLUMNS.iter().filter(|c| !has(c.name)).collect();
    match missing.iter().find(|c| c.since <= 1) {
        Some(first) => Err(first),
        None => Ok(missing),
    }
}

/// The cell of an empty row.
fn empty(schema: &Schema, name: &str) -> Result<ScalarValue> {
    let field = schema.field_with_name(name)?;
    if field.is_nullable() { ScalarValue::try_from(field.data_type()) } else { ScalarValue::new_default(field.data_type()) }
}

/// The batch with every column of the table, in its order.
pub(crate) fn complete(batch: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let schema = columns::schema();
    let column = |name: &str| match batch.column_by_name(name) {
        Some(array) => Ok(array.clone()),
        None => empty(&schema, name)?.to_array_of_size(batch.num_rows()),
    };
    let columns = COLUMNS.iter().map(|c| column(c.name)).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema, columns)
}

/// Gives queries the cells of an empty row where a file has no column.
#[derive(Debug)]
pub(crate) struct EmptyWhereMissing;

impl PhysicalExprAdapterFactory for EmptyWhereMissing {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let missing = table.fields().iter().filter(|f| file.field_with_name(f.name()).is_err());
        let empties = missing.map(|f| Ok((f.name().clone(), empty(&table, f.name())?))).collect::<Result<_>>()?;
        let others = DefaultPhysicalExprAdapterFactory.create(table, file)?;
        Ok(Arc::new(Adapter { empties, others }))
    }
}

#[derive(Debug)]
struct Adapter {
    empties: HashMap<String, ScalarValue>,
    others: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for Adapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let known = if self.empties.is_empty() { expr } else { replace_columns_with_literals(expr, &self.empties)? };
        self.others.rewrite(known)
    }
}
