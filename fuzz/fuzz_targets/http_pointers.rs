//! Answers of providers, under each kind of configuration: whatever they hold, each symbol asked for has one fate, a quote
//! that is read is a raw record that can be read, and pointers find what a walk over the tree finds.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stockwatch_crds::{Http, Source, load};
use stockwatch_fuzz::fetched::check;
use stockwatch_worker::extract::{http, pointers::Pointers};

const SYMBOLS: [&str; 3] = ["META", "GM.MX", "a"];

/// With and without items, in each format of times.
static PROVIDERS: LazyLock<Vec<Http>> = LazyLock::new(|| {
    [
        "url: 'https://p/{symbol}', price: /0/p, time: /0/t, currency: {pointer: /0/c}",
        "url: 'https://p/{symbols}', price: '/{symbol}/p', time: '/{symbol}/t', timeFormat: millis, currency: {literal: USD}",
        "url: 'https://p/{symbols}', items: /r, symbol: /s, price: /p, time: /t, timeFormat: nanos, currency: {pointer: /c}",
        "url: 'https://p/{symbols}', items: '', symbol: /s, price: /p, time: /t, timeFormat: rfc3339",
    ]
    .into_iter()
    .map(|source| {
        let text = format!(
            "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{name: a}}\nspec: {{tickers: [{{symbol: A}}], \
             kafka: {{bootstrapServers: 'k:1'}}, source: {{http: {{{source}}}}}}}"
        );
        match load(&text).expect("it is a StockWatch").spec.source {
            Source::Http(http) => http,
            other => panic!("{other:?}"),
        }
    })
    .collect()
});

/// Paths whose values are looked up, some of them through one another.
const PATHS: [&[&str]; 5] = [&[], &["r"], &["r", "0", "p"], &["0"], &["a", "", "a"]];

fuzz_target!(|body: &[u8]| {
    for provider in PROVIDERS.iter() {
        match http::read(body, provider, &SYMBOLS) {
            Ok(quotes) => {
                assert_eq!(quotes.len(), SYMBOLS.len());
                quotes.iter().for_each(check);
            }
            Err(error) => check(&Err(error)),
        }
    }
    // A tree cannot hold every number that a text can.
    let (Ok(tree), mut pointers) = (serde_json::from_slice::<Value>(body), Pointers::default()) else {
        return;
    };
    for path in PATHS {
        pointers.add(path.iter().map(|step| (*step).to_owned()));
    }
    let found = pointers.find(body).expect("a tree can be read, and so can the text");
    for (path, found) in PATHS.iter().zip(found) {
        let found =
            found.map(|found| serde_json::from_str::<Value>(found.get()).expect("a piece of JSON is JSON"));
        assert_eq!(found.as_ref(), walk(&tree, path), "{path:?}");
    }
});

fn walk<'a>(tree: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |value, step| match value {
        Value::Object(members) => members.get(*step),
        Value::Array(items) => {
            let index = step.parse::<usize>().ok().filter(|index| index.to_string() == *step)?;
            items.get(index)
        }
        _ => None,
    })
}
