//! Bodies of Yahoo's spark answers: whatever they hold, each symbol asked for has one fate, and a quote that is read is a
//! raw record that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stockwatch_fuzz::fetched::check;
use stockwatch_worker::extract::answer;

const SYMBOLS: [&str; 3] = ["META", "GM.MX", "EUR=X"];

fuzz_target!(|body: &[u8]| match answer::spark(body, &SYMBOLS) {
    Ok(quotes) => {
        assert_eq!(quotes.len(), SYMBOLS.len());
        quotes.iter().for_each(check);
    }
    Err(error) => check(&Err(error)),
});
