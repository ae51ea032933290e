//! Starts what the command line asks for.

use std::process::ExitCode;

use clap::Parser;
use stockwatch_operator::args::{Arguments, Command};
use stockwatch_operator::run;

// It gives memory back after a listing of everything.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let Command::Run(arguments) = Arguments::parse().command;
    run::run(&arguments)
}
