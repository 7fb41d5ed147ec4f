//! `capture('file.pcap')`: a capture as a table, one row a packet, read as it is asked for.

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use datafusion::arrow::array::{
    ArrayRef, BinaryBuilder, Int16Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::context::SessionContext;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use trapline_intake::Input;
use trapline_intake::community::{community_id, icmp_ports};
use trapline_intake::reader::CaptureReader;
use trapline_intake::rows::FirstFlags;
use trapline_wire::{Frame, Reading, Transport, decode};

/// Rows handed over at once.
const BATCH: usize = 8192;

/// Makes `capture` known.
pub fn register(context: &SessionContext, findings: &Findings) {
    context.register_udtf("capture", Arc::new(CaptureFunction(Arc::clone(findings))));
}

/// What was damaged in the captures that were read; for people.
pub type Findings = Arc<Mutex<Vec<String>>>;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let columns = [
        ("frame", DataType::Int64),
        ("time", time),
        ("time_ns", DataType::Int16),
        ("wire_len", DataType::Int32),
        ("kept_len", DataType::Int32),
        ("link", DataType::Int32),
        ("kind", DataType::Utf8),
        ("src", DataType::Utf8),
        ("dst", DataType::Utf8),
        ("protocol", DataType::Int16),
        ("ttl", DataType::Int16),
        ("ip_len", DataType::Int32),
        ("ip_id", DataType::Int64),
        ("fragment_offset", DataType::Int32),
        ("src_port", DataType::Int32),
        ("dst_port", DataType::Int32),
        ("tcp_flags", DataType::Utf8),
        ("tcp_seq", DataType::Int64),
        ("tcp_ack", DataType::Int64),
        ("tcp_window", DataType::Int32),
        ("icmp_type", DataType::Int16),
        ("icmp_code", DataType::Int16),
        ("payload_len", DataType::Int32),
        ("payload", DataType::Binary),
        ("community_id", DataType::Utf8),
    ];
    Arc::new(Schema::new(columns.map(|(name, kind)| Field::new(name, kind, true)).to_vec()))
});

/// The columns of `capture('…')`.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

#[derive(Debug)]
struct CaptureFunction(Findings);

impl TableFunctionImpl for CaptureFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(ScalarValue::Utf8(Some(path)), _)] = args.exprs() else {
            return plan_err!("capture takes one path: capture('file.pcap')");
        };
        let input = Input::file(Path::new(path));
        if let Err(error) = input.open() {
            return plan_err!("{path}: {error}");
        }
        let partition = Arc::new(CaptureStream(input, Arc::clone(&self.0)));
        Ok(Arc::new(StreamingTable::try_new(schema(), vec![partition])?))
    }
}

#[derive(Debug)]
struct CaptureStream(Input, Findings);

impl PartitionStream for CaptureStream {
    fn schema(&self) -> &SchemaRef {
        &SCHEMA
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(schema(), 2);
        let (sender, input, findings) = (builder.tx(), self.0.clone(), Arc::clone(&self.1));
        builder.spawn_blocking(move || {
            let mut reader = CaptureReader::new(input.open()?);
            let mut rows = Rows::default();
            while reader.advance() {
                rows.add(reader.frames - 1, &reader.frame().expect("advanced"));
                if rows.len == BATCH && sender.blocking_send(rows.finish()).is_err() {
                    return Ok(());
                }
            }
            // Nobody listening any more is no error: LIMIT was reached.
            let _ = sender.blocking_send(rows.finish());
            // What comes before the damage is given; that there is some is told beside the answer.
            if let Some(stopped) = reader.stopped() {
                let finding =
                    format!("{}: {stopped}; the {} packets before were read", input.name, reader.frames);
                findings.lock().expect("no panic while it is held").push(finding);
            }
            Ok(())
        });
        builder.build()
    }
}

#[derive(Default)]
struct Rows {
    len: usize,
    frame: Int64Builder,
    time: TimestampMicrosecondBuilder,
    time_ns: Int16Builder,
    wire_len: Int32Builder,
    kept_len: Int32Builder,
    link: Int32Builder,
    kind: StringBuilder,
    src: StringBuilder,
    dst: StringBuilder,
    protocol: Int16Builder,
    ttl: Int16Builder,
    ip_len: Int32Builder,
    ip_id: Int64Builder,
    fragment_offset: Int32Builder,
    src_port: Int32Builder,
    dst_port: Int32Builder,
    tcp_flags: StringBuilder,
    tcp_seq: Int64Builder,
    tcp_ack: Int64Builder,
    tcp_window: Int32Builder,
    icmp_type: Int16Builder,
    icmp_code: Int16Builder,
    payload_len: Int32Builder,
    payload: BinaryBuilder,
    community_id: StringBuilder,
}

impl Rows {
    fn add(&mut self, index: u64, frame: &Frame<'_>) {
        self.len += 1;
        self.frame.append_value(index as i64);
        self.time.append_value(frame.time.div_euclid(1000));
        self.time_ns.append_value(frame.time.rem_euclid(1000) as i16);
        self.wire_len.append_value(frame.wire_len as i32);
        self.kept_len.append_value(frame.data.len() as i32);
        self.link.append_value(i32::from(frame.link.0));
        let reading = decode(frame);
        self.kind.append_value(match reading {
            Reading::Ip(_) => "ip",
            Reading::Arp => "arp",
            Reading::NotIp => "not ip",
            Reading::ShortFrame | Reading::UnreadableIp => "unreadable",
            Reading::UnknownLink => "unknown link type",
        });
        let packet = match reading {
            Reading::Ip(packet) => Some(packet),
            _ => None,
        };
        self.src.append_option(packet.map(|p| p.src.to_string()));
        self.dst.append_option(packet.map(|p| p.dst.to_string()));
        self.protocol.append_option(packet.map(|p| i16::from(p.protocol)));
        self.ttl.append_option(packet.map(|p| i16::from(p.ttl)));
        self.ip_len.append_option(packet.map(|p| p.ip_len as i32));
        self.ip_id.append_option(packet.map(|p| i64::from(p.ip_id)));
        self.fragment_offset.append_option(packet.and_then(|p| p.fragment).map(|f| f.offset as i32));
        let transport = packet.map(|p| p.transport);
        let (mut ports, mut tcp, mut icmp) = (None, None, None);
        match transport {
            Some(Transport::Tcp(view)) => {
                (ports, tcp) = (Some((view.src_port(), view.dst_port())), Some(view))
            }
            Some(Transport::Udp(view)) => ports = Some((view.src_port(), view.dst_port())),
            Some(Transport::Icmp(view)) => icmp = Some(view),
            _ => {}
        }
        self.src_port.append_option(ports.map(|p| i32::from(p.0)));
        self.dst_port.append_option(ports.map(|p| i32::from(p.1)));
        self.tcp_flags.append_option(tcp.and_then(|t| t.flags()).map(|f| {
            let mut flags = FirstFlags::default();
            flags.push(f);
            flags.to_string()
        }));
        self.tcp_seq.append_option(tcp.and_then(|t| t.seq()).map(i64::from));
        self.tcp_ack.append_option(tcp.and_then(|t| t.ack()).map(i64::from));
        self.tcp_window.append_option(tcp.and_then(|t| t.window()).map(i32::from));
        self.icmp_type.append_option(icmp.map(|i| i16::from(i.kind())));
        self.icmp_code.append_option(icmp.map(|i| i16::from(i.code())));
        let payload = packet.map(|p| p.payload());
        self.payload_len.append_option(payload.map(|(_, len)| len as i32));
        self.payload.append_option(payload.map(|(bytes, _)| bytes));
        let ends = icmp.map(|i| icmp_ports(packet.map_or(0, |p| p.protocol), i.kind(), i.code())).or(ports);
        // The first piece of a datagram has ports, the others have none: one flow has one name, so none counts.
        let ends = ends.filter(|_| packet.is_some_and(|p| p.fragment.is_none()));
        self.community_id.append_option(packet.map(|p| community_id(p.protocol, p.src, p.dst, ends)));
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        self.len = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.frame.finish()),
            Arc::new(self.time.finish().with_timezone("UTC")),
            Arc::new(self.time_ns.finish()),
            Arc::new(self.wire_len.finish()),
            Arc::new(self.kept_len.finish()),
            Arc::new(self.link.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.src.finish()),
            Arc::new(self.dst.finish()),
            Arc::new(self.protocol.finish()),
            Arc::new(self.ttl.finish()),
            Arc::new(self.ip_len.finish()),
            Arc::new(self.ip_id.finish()),
            Arc::new(self.fragment_offset.finish()),
            Arc::new(self.src_port.finish()),
            Arc::new(self.dst_port.finish()),
            Arc::new(self.tcp_flags.finish()),
            Arc::new(self.tcp_seq.finish()),
            Arc::new(self.tcp_ack.finish()),
            Arc::new(self.tcp_window.finish()),
            Arc::new(self.icmp_type.finish()),
            Arc::new(self.icmp_code.finish()),
            Arc::new(self.payload_len.finish()),
            Arc::new(self.payload.finish()),
            Arc::new(self.community_id.finish()),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}
