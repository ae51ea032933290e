//! Writes the committed seeds.

use std::fs;
use std::path::Path;

use stockwatch_fuzz::input::{COMMIT, CRASH, EDIT, FIELD, PART, QUOTE, RECORD, START, event, parts};
use stockwatch_fuzz::world::World;

fn main() -> std::io::Result<()> {
    raw_records()?;
    storage_table()?;
    commit_metadata()?;
    yahoo_body()?;
    yahoo_spark()?;
    yahoo_stream()?;
    http_pointers()?;
    stockwatch_file()
}

fn write(target: &str, name: &str, seed: impl AsRef<[u8]>) -> std::io::Result<()> {
    let directory = Path::new("seeds").join(target);
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(name), seed)
}

fn quote(entity: u8, second: i16, cents: i16, others: u8) -> Vec<u8> {
    let [s, t] = second.to_le_bytes();
    let [c, d] = cents.to_le_bytes();
    vec![QUOTE, entity, s, t, c, d, others]
}

fn edit(windows: u8, entities: u8, wildcard: bool) -> Vec<u8> {
    vec![EDIT, windows, entities, u8::from(wildcard)]
}

fn commit(budget: u16) -> Vec<u8> {
    let [low, high] = budget.to_le_bytes();
    vec![COMMIT, low, high]
}

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.join(&PART)
}

/// Quotes, late ones and duplicates among them, with an edit, commits and a crash.
fn script() -> Vec<Vec<u8>> {
    let mut script = vec![edit(0b1_0001, 7, false)];
    for i in 0..12_i16 {
        script.push(quote(u8::try_from(i % 4).unwrap_or(0), 20 * i, 100 + 7 * i, 0));
    }
    script.push(quote(0, 30, 5, 1));
    script.push(quote(0, 30, 5, 0));
    script.push(commit(u16::MAX));
    script.push(quote(1, 250, 800, 2));
    script.push(edit(0b10_0010, 3, true));
    script.push(quote(2, 251, -800, 4));
    script.push(commit(200));
    script.push(quote(3, 252, 0, 0));
    script.push(vec![CRASH]);
    script.push(quote(0, 400, 3, 7));
    script
}

/// A window of many quotes: its older ones lie in chunks.
fn long_script() -> Vec<Vec<u8>> {
    let mut script = vec![edit(0b1000_0010, 3, false)];
    for i in 0..100_i16 {
        script.push(quote(0, if i % 7 == 6 { i - 40 } else { i }, 100 + i, 0));
        if i % 40 == 39 {
            script.push(commit(u16::MAX));
        }
    }
    script.push(quote(1, 99, 1, 0));
    script.push(commit(u16::MAX));
    script.push(quote(0, -10, 1, 0));
    script
}

fn raw_records() -> std::io::Result<()> {
    write("raw_records", "script", joined(&script()))?;
    write("raw_records", "long", joined(&long_script()))?;
    let mut stamped = vec![RECORD];
    stamped.extend_from_slice(&(START * 1000).to_le_bytes());
    stamped.extend_from_slice(b"\"IBM\"");
    stamped.push(FIELD);
    stamped.extend_from_slice(usual("IBM", "133.7", START).as_bytes());
    let unstamped = [vec![RECORD], (-1_i64).to_le_bytes().to_vec(), stamped[9..].to_vec()].concat();
    write("raw_records", "stamped", joined(&[stamped.clone(), unstamped, stamped[..14].to_vec()]))?;
    let values = [
        usual("general motors", "48.12", START),
        usual("général \\\"m\\\"", "512.34", START + 1),
        format!(r#" {{"entityname":"e","isduplicate":true,"currentstockprice":-9e9,"lastupdatedate":{START}.5}} "#),
        r#"{"entityname":"e","currentstockprice":"Infinity","lastupdatedate":1700000000000,"x":{"y":[1,null]}}"#.into(),
        r#"{"entityname":"","currentstockprice":null}"#.into(),
        "[1]".into(),
    ];
    write("raw_records", "values", joined(&values.map(String::into_bytes)))
}

fn usual(entity: &str, price: &str, time: i64) -> String {
    format!(
        r#"{{"entityname":"{entity}","currentstockprice":{price},"lastupdatedate":{time},"symbol":"X","currency":"USD"}}"#
    )
}

fn storage_table() -> std::io::Result<()> {
    for (name, script) in [("script", script()), ("long", long_script())] {
        let mut world = World::new();
        for part in parts(&joined(&script), usize::MAX) {
            world.hear(event(part));
        }
        let (offset, replay) = world.committed();
        let stamp = START * 1000;
        let mut records: Vec<Vec<u8>> =
            world.table.iter().map(|(key, value)| [&key[..], &[FIELD], value].concat()).collect();
        let place = format!(r#"{{"offset":{offset},"replay":{replay},"timestamp":{stamp}}}"#);
        records.push([stockwatch_core::wire::OFFSET_KEY.as_bytes(), &[FIELD], place.as_bytes()].concat());
        write("storage_table", name, joined(&records))?;
    }
    write(
        "storage_table",
        "foreign",
        joined(&[b"key\x1fvalue".to_vec(), br#""a""#.to_vec(), br#"{"stockwatch":"shape"}"#.to_vec()]),
    )
}

fn commit_metadata() -> std::io::Result<()> {
    let ours =
        r#"{"owner":"default.seed.seed-worker-0","replay":100,"timestamp":1700000000000,"released":true}"#;
    let numbers = |committed: &[u8], recorded: &[u8]| {
        let mut bytes = Vec::new();
        for number in [90_i64, 60] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(committed);
        bytes.extend_from_slice(recorded);
        for number in [101, START * 1000] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    };
    let committed = [&[1][..], &120_i64.to_le_bytes()].concat();
    let recorded =
        [&[1][..], &110_i64.to_le_bytes(), &95_i64.to_le_bytes(), &(START * 1000).to_le_bytes()].concat();
    write("commit_metadata", "ours", [numbers(&committed, &[0]), ours.into()].concat())?;
    write("commit_metadata", "theirs", [numbers(&committed, &recorded), "reset by hand".into()].concat())?;
    write("commit_metadata", "recorded", numbers(&[0], &recorded))?;
    let far = r#"{"owner":"x","replay":-9223372036854775808,"timestamp":9223372036854775807,"new":[1]}"#;
    write("commit_metadata", "far", [numbers(&committed, &recorded), far.into()].concat())
}

fn yahoo_body() -> std::io::Result<()> {
    let usual = r#"{"chart":{"result":[{"meta":{"currency":"USD","symbol":"META","exchangeName":"NMS","instrumentType":"EQUITY","regularMarketTime":1700000000,"regularMarketPrice":512.340000000000001,"validRanges":["1d","5d"]},"timestamp":[1699999940,1700000000],"indicators":{"quote":[{"close":[512.1,null],"volume":[0,12]}]}}],"error":null}}"#;
    for (name, body) in [
        ("usual", usual),
        (
            "unknown",
            r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}"#,
        ),
        (
            "finance",
            r#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#,
        ),
        (
            "no_price",
            r#"{"chart":{"result":[{"meta":{"regularMarketPrice":null,"regularMarketTime":1e3}}]}}"#,
        ),
        ("empty", r#"{"chart":{"result":[],"error":null}}"#),
        ("page", "<!DOCTYPE html><html>Will be right back...</html>"),
    ] {
        write("yahoo_body", name, body)?;
    }
    Ok(())
}

fn yahoo_spark() -> std::io::Result<()> {
    let usual = r#"{"spark":{"result":[{"symbol":"META","response":[{"meta":{"currency":"USD","symbol":"META","instrumentType":"EQUITY","regularMarketTime":1700000000,"regularMarketPrice":512.340000000000001,"currentTradingPeriod":{"regular":{"start":1699990000,"end":1700020000}}},"timestamp":[1700000000],"indicators":{"quote":[{"close":[512.3]}]}}]},{"symbol":"EUR=X","response":[{"meta":{"regularMarketPrice":0.9,"regularMarketTime":1e9}}]}],"error":null}}"#;
    for (name, body) in [
        ("usual", usual),
        (
            "unknown",
            r#"{"spark":{"result":null,"error":{"code":"Not Found","description":"No data found for spark symbols"}}}"#,
        ),
        (
            "too_many",
            r#"{"spark":{"result":null,"error":{"code":"Bad Request","description":"Number of symbols needs to be less than or equal to 20"}}}"#,
        ),
        (
            "odd",
            r#"{"spark":{"result":[{"symbol":"META","response":[]},7,{"response":[{"meta":{"symbol":"GM.MX"}}]}]}}"#,
        ),
    ] {
        write("yahoo_spark", name, body)?;
    }
    Ok(())
}

fn yahoo_stream() -> std::io::Result<()> {
    let usual: &[u8] = b"\x0a\x04ACME\x15\0\0\x48\x41\x18\x80\xb0\x83\xc5\x98\x68\x2a\x03NMS0\x088\x01";
    write("yahoo_stream", "usual", usual)?;
    // A currency, a change, a volume, a crypto amount.
    let more: &[u8] = b"\x22\x03USD\x45\0\0\x80\x3f\x48\x80\x01\x81\x02\0\0\0\0\0\0\xf0\x3f";
    write("yahoo_stream", "crypto", [more, usual].concat())?;
    write("yahoo_stream", "before_opening", &usual[..usual.len() - 2])?;
    write("yahoo_stream", "frame", r#"{"type":"pricing","message":"CgRBQ01FFQAASEEYgLCDxZhoKgNOTVMwCDgB"}"#)?;
    write("yahoo_stream", "other", r#"{"type":"heartbeat","message":null}"#)
}

fn http_pointers() -> std::io::Result<()> {
    for (name, body) in [
        ("single", r#"[{"p":"12.50000","t":1790000000.8277369,"c":"USD"}]"#),
        ("keyed", r#"{"META":{"p":12.5,"t":1790000000123,"x":[1]},"a":{"":{"a":1}}}"#),
        ("items", r#"{"r":[{"s":"meta","p":12.5,"t":1790000000086175744,"c":"GBp"},{"s":"GM.MX","p":0}]}"#),
        ("root", r#"[{"s":"META","p":1e-3,"t":"2026-09-21T10:13:20.086175744-04:00"},7,null]"#),
        ("error", r#"{"code":429,"message":"x","status":"error"}"#),
        ("twice", r#"{"r":[{"p":1}],"r":[{"p":2}],"0":[]}"#),
    ] {
        write("http_pointers", name, body)?;
    }
    Ok(())
}

fn stockwatch_file() -> std::io::Result<()> {
    for name in ["external", "first", "seed", "simulated"] {
        let text = fs::read_to_string(format!("../examples/{name}.yaml"))?;
        write("stockwatch_file", name, bare(&text))?;
    }
    let demo = bare(&fs::read_to_string("../worker/src/demo/example.yaml")?);
    write("stockwatch_file", "edited", [&demo, "\x1e", &demo.replace("0.015%", "0.5")].concat())?;
    let copy = r#"{"apiVersion":"stockwatch.dev/v1alpha1","kind":"StockWatch","metadata":{"name":"tech","namespace":"default","uid":"6f2c","generation":7,"resourceVersion":"812","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"team":"a"},"managedFields":[{"manager":"kubectl","operation":"Apply","apiVersion":"stockwatch.dev/v1alpha1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:kafka":{}}}}]},"spec":{"tickers":[{"symbol":"META"},{"symbol":"*","tolerances":[{"window":"5m","tolerance":"1%"}]}],"windows":[{"duration":"5m","tolerance":"0.25"}],"source":{"external":{}},"kafka":{"bootstrapServers":"kafka:9093,[::1]:9093","groupId":"g","tls":{"caSecret":{"name":"ca","key":"ca.crt"}},"sasl":{"mechanism":"SCRAM-SHA-512","secret":{"name":"s"}},"topics":{"rawInput":{"name":"raw","partitions":3}}},"suspend":false},"status":{"x":1}}"#;
    write("stockwatch_file", "copy", copy)?;
    let aliases = "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: &m {name: &n tech, labels: {<<: {a: b}}}\nspec:\n  tickers: [&t {symbol: META, name: *n}, {<<: *t, symbol: IBM, name: i}]\n  kafka: {bootstrapServers: !!str 'a:1'}\nx: [*m, *t, &y [*t, *t], &z [*y, *y], [*z, *z]]\n";
    write("stockwatch_file", "aliases", aliases)?;
    let wrong = "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {name: 7}\nspec:\n  tickers: {a: [1, ~]}\n  windows: [{duration: 5, tolerance: 0x10}, |\n    5m]\n  kafka: >-\n    none\n";
    write("stockwatch_file", "wrong", wrong)
}

/// Without the comments: they are most of an example.
fn bare(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    lines.map(|line| format!("{}\n", line.split(" # ").next().unwrap_or(line))).collect()
}
