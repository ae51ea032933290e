//! Bodies of Yahoo's chart answers: a quote that is read is a raw record that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stockwatch_fuzz::fetched::check;
use stockwatch_worker::extract::answer;

fuzz_target!(|body: &[u8]| check(&answer::chart(body)));
