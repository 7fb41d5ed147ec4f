//! `local_hour(time, zone)` and `several_zones(country)`: the clock on the wall of a source.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, Int32Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use trapline_enrich::place::{Country, has_several_zones, local_hour};

/// Makes the functions known.
pub fn register(context: &SessionContext) {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    context.register_udf(create_udf(
        "local_hour",
        vec![time, DataType::Utf8],
        DataType::Int32,
        Volatility::Immutable,
        Arc::new(hours),
    ));
    context.register_udf(create_udf(
        "several_zones",
        vec![DataType::Utf8],
        DataType::Boolean,
        Volatility::Immutable,
        Arc::new(several),
    ));
}

fn hours(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let times = arrays[0].as_primitive::<TimestampMicrosecondType>();
    let zones = cast(&arrays[1], &DataType::Utf8)?;
    let zones = zones.as_string::<i32>();
    let hour = |row: usize| {
        let known = !times.is_null(row) && !zones.is_null(row);
        let ns = times.value(row).saturating_mul(1000);
        known.then(|| local_hour(ns, zones.value(row))).flatten().map(i32::from)
    };
    Ok(ColumnarValue::Array(Arc::new((0..times.len()).map(hour).collect::<Int32Array>())))
}

fn several(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let countries = cast(&arrays[0], &DataType::Utf8)?;
    let one = |code: Option<&str>| code.map(|c| Country::read(c).is_some_and(has_several_zones));
    let answers = countries.as_string::<i32>().iter().map(one).collect::<BooleanArray>();
    Ok(ColumnarValue::Array(Arc::new(answers)))
}
