//! The StockWatch operator.

pub mod topics;
