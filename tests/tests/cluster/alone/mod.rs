//! Tests that need the cluster for themselves: they restart operators, take the API server away, or install releases of
//! their own. One after another, in the order of their names.

mod api_server;
mod bare;
mod idle;
mod install;
mod namespaces;
mod node;
mod operators;
mod releases;
mod rights;
mod times;
mod upgrade;
