//! Arrow columns to the values of an answer.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::arrow::error::ArrowError;

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
    let array = cast(array, &arrow_type(kind))?;
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
