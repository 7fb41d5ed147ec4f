//! `host_order(host, time, capture, frame)`: the hosts of a group in the order of their first packet,
//! joined by `>`.
//!
//! Like `ports_sequence` its state is the first packet of each host, so it does not depend on the order of rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::ports_sequence::capture_rank;

/// The function for the engine.
pub fn udaf() -> AggregateUDF {
    let types = vec![DataType::Utf8, DataType::Int64, DataType::Utf8, DataType::Int64];
    AggregateUDF::from(HostOrder { signature: Signature::exact(types, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct HostOrder {
    signature: Signature,
}

impl AggregateUDFImpl for HostOrder {
    fn name(&self) -> &str {
        "host_order"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, of: DataType| {
            let item = Arc::new(Field::new_list_field(of, true));
            Arc::new(Field::new(format!("{}[{name}]", args.name), DataType::List(item), true))
        };
        Ok(vec![
            list("hosts", DataType::Utf8),
            list("times", DataType::Int64),
            list("captures", DataType::Int64),
            list("frames", DataType::Int64),
        ])
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Hosts::default()))
    }
}

/// First packet of each host: time, capture, frame.
#[derive(Debug, Default)]
struct Hosts(BTreeMap<String, (i64, u64, i64)>);

impl Hosts {
    fn note(&mut self, host: &str, first: (i64, u64, i64)) {
        match self.0.get_mut(host) {
            Some(old) => *old = first.min(*old),
            None => {
                self.0.insert(host.into(), first);
            }
        }
    }

    fn text(&self) -> String {
        let mut hosts: Vec<_> = self.0.iter().map(|(host, first)| (first, host.as_str())).collect();
        hosts.sort_unstable();
        hosts.into_iter().map(|(_, host)| host).collect::<Vec<_>>().join(">")
    }
}

impl Accumulator for Hosts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (hosts, captures) = (values[0].as_string::<i32>(), values[2].as_string::<i32>());
        let (times, frames) = (values[1].as_primitive::<Int64Type>(), values[3].as_primitive::<Int64Type>());
        for row in (0..hosts.len()).filter(|row| !hosts.is_null(*row)) {
            let first = (times.value(row), capture_rank(captures.value(row)), frames.value(row));
            self.note(hosts.value(row), first);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Utf8(Some(self.text())))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.keys().map(|host| host.len() + 64).sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let numbers = |of: fn(&(i64, u64, i64)) -> i64| {
            let values: Vec<ScalarValue> = self.0.values().map(|first| of(first).into()).collect();
            ScalarValue::List(ScalarValue::new_list(&values, &DataType::Int64, true))
        };
        let hosts: Vec<ScalarValue> = self.0.keys().map(|host| host.as_str().into()).collect();
        Ok(vec![
            ScalarValue::List(ScalarValue::new_list(&hosts, &DataType::Utf8, true)),
            numbers(|f| f.0),
            numbers(|f| f.1 as i64),
            numbers(|f| f.2),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists: Vec<&ListArray> = states.iter().map(|s| s.as_list::<i32>()).collect();
        for row in 0..lists[0].len() {
            let parts: Vec<ArrayRef> = lists.iter().map(|l| l.value(row)).collect();
            let hosts = parts[0].as_string::<i32>();
            let number = |part: usize, i: usize| parts[part].as_primitive::<Int64Type>().value(i);
            for i in 0..hosts.len() {
                self.note(hosts.value(i), (number(1, i), number(2, i) as u64, number(3, i)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stand_in_the_order_of_their_first_packet() {
        let mut hosts = Hosts::default();
        for (host, time, frame) in [("mach2", 5, 0), ("mach0", 1, 7), ("mach1", 1, 3), ("mach2", 0, 9)] {
            hosts.note(host, (time, 0, frame));
        }
        assert_eq!(hosts.text(), "mach2>mach1>mach0");
    }
}
