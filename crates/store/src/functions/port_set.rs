//! `port_set(sequence)`: the ports of a sequence as a set, sorted by number, then protocol.
//!
//! `445,139,137/udp` becomes `137/udp,139,445`: sequences with the same set are orders of one set.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

/// The function for the engine.
pub fn udf() -> ScalarUDF {
    let run = |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let sequences = arrays[0].as_string::<i32>();
        let sets: StringArray = sequences.iter().map(|s| s.map(port_set)).collect();
        Ok(ColumnarValue::Array(Arc::new(sets) as ArrayRef))
    };
    create_udf("port_set", vec![DataType::Utf8], DataType::Utf8, Volatility::Immutable, Arc::new(run))
}

/// Sorts the ports of a sequence by number, then protocol (TCP before UDP); what is no port comes last.
pub fn port_set(sequence: &str) -> String {
    let mut ports: Vec<&str> = sequence.split(',').collect();
    ports.sort_by_key(|port| {
        let number =
            port.split('/').next().and_then(|n| n.parse::<u32>().ok()).filter(|_| !port.starts_with('+'));
        (number.unwrap_or(u32::MAX), port.contains('/'), *port)
    });
    ports.join(",")
}

#[cfg(test)]
mod tests {
    use super::port_set;

    #[test]
    fn ports_are_sorted_by_number_then_protocol() {
        assert_eq!(port_set("445,139,137/udp"), "137/udp,139,445");
        assert_eq!(port_set("53/udp,53"), "53,53/udp");
        assert_eq!(port_set("80,21,+3"), "21,80,+3");
        assert_eq!(port_set("icmp"), "icmp");
    }
}
