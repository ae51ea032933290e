//! Starts what the command line asks for.

use std::process::ExitCode;

use clap::Parser;
use stockwatch_worker::args::{Arguments, Command};
use stockwatch_worker::{demo, fetch, run, tail, whatif};

// Messages are allocated on one thread and freed on librdkafka's: glibc's malloc contends there.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
        Command::Whatif(arguments) => whatif::run(&arguments),
    }
}
