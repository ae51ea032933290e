//! Tests that need the cluster for themselves: they restart operators, take the API server away, or install releases of
//! their own. One after another, in the order of their names.

mod api_server;
mod idle;
mod install;
mod kafka;
mod operators;
mod rights;
mod times;
mod upgrade;
