//! TCP segments of one direction, in order.
