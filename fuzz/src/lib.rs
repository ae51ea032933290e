//! What the fuzz targets share: how an input is cut up, what must hold of a fetched quote, and a worker's state over a log
//! in memory.
//!
//! Inputs of several parts are text with Kafka's neighbours in ASCII as cuts, so that seeds can be read and a mutation
//! moves whole parts: JSON never holds these bytes.

#![cfg(feature = "fuzz")]

pub mod fetched;
pub mod input;
pub mod world;
