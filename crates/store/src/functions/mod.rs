//! The functions that our SQL needs, each in one file with its test.

use datafusion::execution::context::SessionContext;

pub mod host_order;
mod places;
pub mod port_set;
pub mod ports_sequence;

/// Makes all of them known to `context`: embedded, scheduler or executor alike.
pub fn register(context: &SessionContext) {
    context.register_udaf(ports_sequence::udaf());
    context.register_udaf(host_order::udaf());
    context.register_udf(port_set::udf());
    places::register(context);
}
