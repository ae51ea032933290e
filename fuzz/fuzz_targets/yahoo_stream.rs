//! Messages of Yahoo's stream, a frame's JSON or the protocol buffer alone: a tick that is read is a raw record that can be
//! read.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use stockwatch_fuzz::fetched::check;
use stockwatch_worker::extract::{FetchedQuote, tick};

fuzz_target!(|input: &[u8]| {
    let pricing = format!(r#"{{"type":"pricing","message":"{}"}}"#, STANDARD.encode(input));
    let frames = [Some(pricing.as_str()), std::str::from_utf8(input).ok()];
    for tick in frames.into_iter().flatten().filter_map(tick::read) {
        assert!(!tick.symbol.is_empty());
        check(&FetchedQuote::new(&tick.price, &tick.time, None));
    }
});
