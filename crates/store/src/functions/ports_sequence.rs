//! `ports_sequence(protocol, number, time [, capture, frame])`: the ports sequence of a group of rows.
//!
//! The distinct ports in the order of their first time; equal times by capture and frame, where
//! given. State is the earliest time of each port, so rows may come in any order and halves merge by taking the
//! earlier: the function is insensitive to order and ready for any number of threads or machines.
//! `time` is anything that casts to a 64-bit integer and grows with time.

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, StringBuilder,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use hashbrown::HashMap;
use trapline_intake::derive::sequence;

/// The function for the engine.
pub fn udaf() -> AggregateUDF {
    AggregateUDF::from(PortsSequence { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PortsSequence {
    signature: Signature,
}

/// Columns of the state: port codes, times, captures, frames.
const STATE: [&str; 4] = ["codes", "times", "captures", "frames"];

impl AggregateUDFImpl for PortsSequence {
    fn name(&self) -> &str {
        "ports_sequence"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut wanted = vec![DataType::Int16, DataType::Int32, DataType::Int64];
        match types.len() {
            3 => {}
            5 => wanted.extend([DataType::Utf8, DataType::Int64]),
            n => {
                return plan_err!(
                    "ports_sequence takes protocol, number, time, and perhaps capture, frame; not {n} arguments"
                );
            }
        }
        Ok(wanted)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = DataType::List(item());
        Ok(STATE
            .iter()
            .map(|name| Arc::new(Field::new(format!("{}[{name}]", args.name), list.clone(), true)))
            .collect())
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One(Groups::default())))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups::default()))
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

/// A port as a number: TCP and UDP ports, and above them protocols without ports.
fn code(protocol: i16, number: Option<i32>) -> u32 {
    match (protocol, number) {
        (6, Some(number)) => number as u32 & 0xffff,
        (17, Some(number)) => 0x1_0000 | number as u32 & 0xffff,
        // ICMP of either family is one kind of packet.
        (58, _) => 0x8000_0001,
        (other, _) => 0x8000_0000 | u32::from(other as u16),
    }
}

fn port(code: u32) -> (u8, Option<u16>) {
    match code {
        0..=0xffff => (6, Some(code as u16)),
        0x1_0000..=0x1_ffff => (17, Some(code as u16)),
        _ => (code as u8, None),
    }
}

/// When a port was first seen: time, capture, frame.
type First = (i64, u64, i64);

/// A port of a group; the ports of one group form a chain.
#[derive(Clone, Copy)]
struct Node {
    first: First,
    code: u32,
    next: u32,
}

const END: u32 = u32::MAX;
/// Chains longer than this get an index: a scan of all ports must not make every packet walk them.
const INDEX_FROM: u32 = 24;

/// First times of the ports of many groups: one arena of nodes, a chain for each group.
#[derive(Default)]
struct Groups {
    nodes: Vec<Node>,
    heads: Vec<u32>,
    lengths: Vec<u32>,
    indexes: HashMap<u32, HashMap<u32, u32>>,
    indexed: usize,
}

impl Groups {
    fn grow(&mut self, groups: usize) {
        if self.heads.len() < groups {
            self.heads.resize(groups, END);
            self.lengths.resize(groups, 0);
        }
    }

    #[inline]
    fn note(&mut self, group: usize, code: u32, first: First) {
        match self.find(group, code) {
            Some(node) => {
                let old = &mut self.nodes[node as usize].first;
                if first < *old {
                    *old = first;
                }
            }
            None => self.insert(group, code, first),
        }
    }

    #[inline]
    fn find(&self, group: usize, code: u32) -> Option<u32> {
        if self.lengths[group] > INDEX_FROM {
            return self.indexes.get(&(group as u32))?.get(&code).copied();
        }
        let mut at = self.heads[group];
        while at != END {
            let node = &self.nodes[at as usize];
            if node.code == code {
                return Some(at);
            }
            at = node.next;
        }
        None
    }

    fn insert(&mut self, group: usize, code: u32, first: First) {
        let at = self.nodes.len() as u32;
        self.nodes.push(Node { first, code, next: self.heads[group] });
        self.heads[group] = at;
        self.lengths[group] += 1;
        if self.lengths[group] == INDEX_FROM + 1 {
            let index = self.chain(group).map(|(i, n)| (n.code, i)).collect();
            self.indexes.insert(group as u32, index);
            self.indexed += INDEX_FROM as usize;
        } else if self.lengths[group] > INDEX_FROM
            && let Some(index) = self.indexes.get_mut(&(group as u32))
        {
            index.insert(code, at);
            self.indexed += 1;
        }
    }

    fn chain(&self, group: usize) -> impl Iterator<Item = (u32, &Node)> {
        let mut at = self.heads.get(group).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            let here = at;
            at = node.next;
            Some((here, node))
        })
    }

    /// Ports of a group in the order of their first time.
    fn in_order(&self, group: usize) -> Vec<(First, u32)> {
        let mut ports: Vec<(First, u32)> = self.chain(group).map(|(_, n)| (n.first, n.code)).collect();
        ports.sort_unstable();
        ports
    }

    fn take(&mut self, emit: EmitTo) -> Groups {
        match emit {
            EmitTo::All => std::mem::take(self),
            EmitTo::First(n) => {
                // Rare (only for input sorted by group): both halves are built anew.
                let all = std::mem::take(self);
                let mut first = Groups::default();
                first.copy(&all, 0..n);
                self.copy(&all, n..all.heads.len());
                first
            }
        }
    }

    fn copy(&mut self, from: &Groups, range: std::ops::Range<usize>) {
        self.grow(range.len());
        for (to, group) in range.enumerate() {
            from.chain(group).for_each(|(_, n)| self.insert(to, n.code, n.first));
        }
    }

    fn texts(&self) -> ArrayRef {
        let mut texts = StringBuilder::new();
        for group in 0..self.heads.len() {
            let ports = self.in_order(group);
            if ports.is_empty() {
                texts.append_null();
            } else {
                texts.append_value(sequence(ports.iter().map(|(_, code)| port(*code))));
            }
        }
        Arc::new(texts.finish())
    }

    fn lists(&self) -> Result<Vec<ArrayRef>> {
        let mut values: [Vec<i64>; 4] = Default::default();
        for group in 0..self.heads.len() {
            for (_, node) in self.chain(group) {
                let (time, capture, frame) = node.first;
                for (column, value) in
                    values.iter_mut().zip([i64::from(node.code), time, capture as i64, frame])
                {
                    column.push(value);
                }
            }
        }
        let offsets = OffsetBuffer::from_lengths(self.lengths.iter().map(|n| *n as usize));
        let list = |values: Vec<i64>| -> Result<ArrayRef> {
            Ok(Arc::new(ListArray::try_new(
                item(),
                offsets.clone(),
                Arc::new(Int64Array::from(values)),
                None,
            )?))
        };
        values.into_iter().map(list).collect()
    }

    fn memory(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.heads.capacity() * 8 + self.indexed * 16
    }
}

/// The columns of a batch of arguments.
struct Arguments<'a> {
    protocols: &'a datafusion::arrow::array::Int16Array,
    numbers: &'a datafusion::arrow::array::Int32Array,
    times: &'a Int64Array,
    places: Option<(&'a datafusion::arrow::array::StringArray, &'a Int64Array)>,
}

impl<'a> Arguments<'a> {
    fn of(values: &'a [ArrayRef]) -> Result<Self> {
        if !matches!(values.len(), 3 | 5) {
            return exec_err!("ports_sequence got {} columns", values.len());
        }
        let places = values.get(3).map(|c| (c.as_string::<i32>(), values[4].as_primitive::<Int64Type>()));
        Ok(Arguments {
            protocols: values[0].as_primitive::<Int16Type>(),
            numbers: values[1].as_primitive::<Int32Type>(),
            times: values[2].as_primitive::<Int64Type>(),
            places,
        })
    }

    /// Port and time of a row; nothing where protocol or time is null.
    #[inline]
    fn row(&self, row: usize) -> Option<(u32, First)> {
        if self.protocols.is_null(row) || self.times.is_null(row) {
            return None;
        }
        let number = (!self.numbers.is_null(row)).then(|| self.numbers.value(row));
        let (capture, frame) = match self.places {
            Some((captures, frames)) => (capture_rank(captures.value(row)), frames.value(row)),
            None => (0, 0),
        };
        Some((code(self.protocols.value(row), number), (self.times.value(row), capture, frame)))
    }
}

/// Captures are ordered by their hashes, of which the tables hold 16 digits.
pub(super) fn capture_rank(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or(u64::MAX)
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let arguments = Arguments::of(values)?;
        for (row, group) in group_indices.iter().enumerate() {
            if filter.is_none_or(|f| f.is_valid(row) && f.value(row))
                && let Some((code, first)) = arguments.row(row)
            {
                self.note(*group, code, first);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.take(emit_to).texts())
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.take(emit_to).lists()
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let lists: Vec<&ListArray> = values.iter().map(|v| v.as_list::<i32>()).collect();
        let flat: Vec<&Int64Array> = lists.iter().map(|l| l.values().as_primitive::<Int64Type>()).collect();
        for (row, group) in group_indices.iter().enumerate() {
            let offsets = lists[0].value_offsets();
            for i in offsets[row] as usize..offsets[row + 1] as usize {
                self.note(
                    *group,
                    flat[0].value(i) as u32,
                    (flat[1].value(i), flat[2].value(i) as u64, flat[3].value(i)),
                );
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Groups::default();
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.lists()
    }

    fn size(&self) -> usize {
        self.memory()
    }
}

/// A single group.
struct One(Groups);

impl std::fmt::Debug for One {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortsSequence").field("ports", &self.0.nodes.len()).finish()
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; values[0].len()];
        self.0.update_batch(values, &groups, None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.grow(1);
        ScalarValue::try_from_array(&self.0.texts(), 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.memory()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1);
        self.0.lists()?.iter().map(|list| ScalarValue::try_from_array(list, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        self.0.merge_batch(states, &groups, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[(u32, i64)], expected: &str) {
        let mut whole = Groups::default();
        whole.grow(1);
        rows.iter().for_each(|(code, time)| whole.note(0, *code, (*time, 0, 0)));
        let text = whole.texts();
        assert_eq!(text.as_string::<i32>().value(0), expected);
        // The same from two halves, merged in either order.
        let (a, b) = rows.split_at(rows.len() / 2);
        for parts in [[a, b], [b, a]] {
            let mut merged = Groups::default();
            for part in parts {
                let mut half = Groups::default();
                half.grow(1);
                part.iter().for_each(|(code, time)| half.note(0, *code, (*time, 0, 0)));
                merged.merge_batch(&half.lists().unwrap(), &[0], 1).unwrap();
            }
            assert_eq!(merged.texts().as_string::<i32>().value(0), expected);
        }
    }

    #[test]
    fn ports_stand_in_the_order_of_their_first_time() {
        check(&[(80, 3), (21, 1), (80, 0)], "80,21");
        check(&[(0x1_0000 | 137, 2), (137, 1)], "137,137/udp");
    }

    #[test]
    fn a_source_with_any_port_has_ports_only() {
        check(&[(0x8000_0001, 1), (445, 2)], "445");
        check(&[(0x8000_0001, 1), (0x8000_002f, 2)], "icmp,ip-proto-47");
    }

    #[test]
    fn a_scan_of_many_ports_keeps_the_first_4096_and_counts_the_rest() {
        let rows: Vec<(u32, i64)> = (0..5000u32).rev().map(|p| (p, i64::from(p))).collect();
        let expected: Vec<String> = (0..4096).map(|p: u32| p.to_string()).collect();
        check(&rows, &format!("{},+904", expected.join(",")));
    }
}
