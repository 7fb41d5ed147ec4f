//! Arrow columns to the values of an answer.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::answer::{Column, ColumnType, Value};

/// Reads the rows of `batches` by the types that `columns` declare.
///
/// # Errors
/// When a column cannot be read as its declared type.
pub fn rows(columns: &[Column], batches: &[RecordBatch]) -> Result<Vec<Vec<Value>>, ArrowError> {
    let mut rows = Vec::new();
    for batch in batches {
        let cells: Vec<Vec<Value>> = columns
            .iter()
            .zip(batch.columns())
            .map(|(c, array)| column(c.kind, array))
            .collect::<Result<_, _>>()?;
        let mut cells: Vec<_> = cells.into_iter().map(Vec::into_iter).collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|_| cells.iter_mut().map(|c| c.next().expect("as long as the batch")).collect()),
        );
    }
    Ok(rows)
}

/// Columns for rows whose types nobody declared: every type is read as the nearest that answers know.
pub fn columns(schema: &Schema) -> Vec<Column> {
    let kind = |field: &Field| match field.data_type() {
        DataType::Boolean => ColumnType::Bool,
        DataType::Date32 | DataType::Date64 => ColumnType::Day,
        DataType::Timestamp(..) => ColumnType::Time,
        DataType::List(item) if item.data_type() == &DataType::Utf8 => ColumnType::List,
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
            ColumnType::Float
        }
        kind if kind.is_integer() => ColumnType::Int,
        _ => ColumnType::Text,
    };
    let column = |f: &Arc<Field>| Column {
        name: f.name().clone(),
        kind: kind(f),
        unit: String::new(),
        meaning: String::new(),
    };
    schema.fields().iter().map(column).collect()
}

/// Bytes from the wire as text: UTF-8 where valid, else Latin-1. Whoever shows it escapes it.
pub fn wire_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

/// What has no type of its own in answers, as text.
fn as_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let text: StringArray = match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => return cast(array, &DataType::Utf8),
        DataType::Binary => array.as_binary::<i32>().iter().map(|b| b.map(wire_text)).collect(),
        DataType::BinaryView => array.as_binary_view().iter().map(|b| b.map(wire_text)).collect(),
        _ => {
            let options = FormatOptions::default();
            let shown = ArrayFormatter::try_new(array, &options)?;
            (0..array.len()).map(|row| (!array.is_null(row)).then(|| shown.value(row).to_string())).collect()
        }
    };
    Ok(Arc::new(text))
}

/// The Arrow type that a declared type is read as.
pub fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Text | ColumnType::Month => DataType::Utf8,
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Day => DataType::Date32,
        ColumnType::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::List => DataType::new_list(DataType::Utf8, true),
    }
}

fn column(kind: ColumnType, array: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    let array = match kind {
        ColumnType::Text | ColumnType::Month => as_text(array)?,
        _ => cast(array, &arrow_type(kind))?,
    };
    let each = |read: &dyn Fn(usize) -> Value| {
        (0..array.len()).map(|row| if array.is_null(row) { Value::Null } else { read(row) }).collect()
    };
    Ok(match kind {
        ColumnType::Text | ColumnType::Month => {
            let texts = array.as_string::<i32>();
            each(&|row| Value::Text(texts.value(row).into()))
        }
        ColumnType::Int => {
            let numbers = array.as_primitive::<Int64Type>();
            each(&|row| Value::Int(numbers.value(row)))
        }
        ColumnType::Float => {
            let numbers = array.as_primitive::<Float64Type>();
            each(&|row| Value::Float(numbers.value(row)))
        }
        ColumnType::Bool => {
            let truths = array.as_boolean();
            each(&|row| Value::Bool(truths.value(row)))
        }
        ColumnType::Day => {
            let days = array.as_primitive::<Date32Type>();
            each(&|row| Value::Text(trapline_store::convert::day_text(days.value(row))))
        }
        ColumnType::Time => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            each(&|row| {
                Value::Text(trapline_store::convert::time_text(times.value(row).saturating_mul(1000)))
            })
        }
        ColumnType::List => {
            let lists = array.as_list::<i32>();
            each(&|row| {
                let items = lists.value(row);
                let texts = items.as_string::<i32>();
                Value::List(texts.iter().map(|t| t.unwrap_or_default().to_owned()).collect())
            })
        }
    })
}
