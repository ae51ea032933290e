//! Tests that need the cluster for themselves: they restart operators, take the API server away, or install releases that look after
//! the cluster. One after another, in the order of their names.

mod api_server;
mod idle;
mod install;
mod node;
mod operators;
mod releases;
mod times;
mod upgrade;
