//! What Yahoo's answers say: their bytes in, quotes or the reasons why there are none out. A symbol's `meta` is the same
//! whichever endpoint gave it, and so is its quote.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fetched::{FetchError, FetchedQuote};
use super::text::short;
use crate::flow::{Instrument, Session};

/// ISO codes have 3 letters.
const MAX_CURRENCY_BYTES: usize = 16;

#[derive(Deserialize)]
struct YahooBody<'a> {
    #[serde(borrow)]
    chart: Option<Envelope<'a>>,
    #[serde(borrow)]
    spark: Option<Envelope<'a>>,
    /// The key of errors that an endpoint does not raise itself.
    #[serde(borrow)]
    finance: Option<Envelope<'a>>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    result: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// What a spark has of one symbol.
#[derive(Deserialize)]
struct Series<'a> {
    symbol: Option<String>,
    #[serde(borrow)]
    response: Option<Vec<Entry<'a>>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
}

/// The text of each, so that no price passes through a float.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    symbol: Option<&'a RawValue>,
    #[serde(borrow)]
    regular_market_price: Option<&'a RawValue>,
    #[serde(borrow)]
    regular_market_time: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
    #[serde(borrow)]
    exchange_name: Option<&'a RawValue>,
    #[serde(borrow)]
    instrument_type: Option<&'a RawValue>,
    #[serde(borrow)]
    current_trading_period: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Periods {
    regular: Period,
}

/// Regular trading hours, in seconds since 1970.
#[derive(Deserialize)]
struct Period {
    start: i64,
    end: i64,
    /// Of the exchange's local time, in seconds.
    gmtoffset: Option<i64>,
}

#[derive(Deserialize)]
struct YahooError {
    code: String,
}

/// The current quote in a chart.
///
/// # Errors
/// What the answer says is wrong, or that it is none.
pub fn chart(body: &[u8]) -> Result<FetchedQuote, FetchError> {
    match entries(body, |answer| answer.chart.take())?.first() {
        Some(entry) => quote(&json(entry.get().as_bytes())?),
        None => Err(FetchError::NotFound),
    }
}

/// The current quotes of `symbols` in a spark, in their order. Whom it leaves out it does not know.
///
/// # Errors
/// What the whole answer says is wrong, or that it is none.
pub fn spark(
    body: &[u8],
    symbols: &[impl AsRef<str>],
) -> Result<Vec<Result<FetchedQuote, FetchError>>, FetchError> {
    let entries = entries(body, |answer| answer.spark.take())?;
    // One that cannot be read is as if left out: its symbol may be what cannot be read.
    let series: Vec<Series<'_>> =
        entries.iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()).collect();
    let quote_of = |symbol: &str| {
        let is_asked = |one: &&Series<'_>| one.symbol.as_deref() == Some(symbol);
        let is_meant =
            |one: &&Series<'_>| one.first().is_some_and(|entry| entry.symbol().as_deref() == Some(symbol));
        let found = series.iter().find(is_asked).or_else(|| series.iter().find(is_meant));
        quote(found.and_then(Series::first).ok_or(FetchError::NotFound)?)
    };
    Ok(symbols.iter().map(|symbol| quote_of(symbol.as_ref())).collect())
}

/// The results under an endpoint's key, if nothing is said to be wrong.
fn entries<'a>(
    body: &'a [u8],
    endpoint: impl Fn(&mut YahooBody<'a>) -> Option<Envelope<'a>>,
) -> Result<Vec<&'a RawValue>, FetchError> {
    let mut answer: YahooBody<'a> = json(body)?;
    let Some(envelope) = endpoint(&mut answer).or(answer.finance) else {
        return Err(FetchError::BadBody("neither the endpoint nor finance in it".into()));
    };
    match envelope.error {
        Some(error) => Err(problem(error)),
        None => Ok(envelope.result.unwrap_or_default()),
    }
}

impl Series<'_> {
    fn first(&self) -> Option<&Entry<'_>> {
        self.response.as_ref()?.first()
    }
}

impl Entry<'_> {
    fn symbol(&self) -> Option<String> {
        text(self.meta.as_ref()?.symbol)
    }
}

fn quote(entry: &Entry<'_>) -> Result<FetchedQuote, FetchError> {
    // Old closes may be there all the same: the last one is not the current price.
    let Some(meta @ Meta { regular_market_price: Some(price), regular_market_time: time, currency, .. }) =
        &entry.meta
    else {
        return Err(FetchError::NoPrice);
    };
    let currency = text(*currency).filter(|text| !text.is_empty() && text.len() <= MAX_CURRENCY_BYTES);
    let time = time.ok_or_else(|| FetchError::BadBody("no regularMarketTime".into()))?;
    Ok(FetchedQuote::new(price.get(), time.get(), currency)?.in_session(session(meta)))
}

/// What is said of the market. It only decides whether quotes are expected, so what cannot be read is left out.
fn session(meta: &Meta<'_>) -> Session {
    let periods =
        meta.current_trading_period.and_then(|text| serde_json::from_str::<Periods>(text.get()).ok());
    let instrument = text(meta.instrument_type).map_or(Instrument::Other, |kind| Instrument::named(&kind));
    let session = Session::new(text(meta.exchange_name), instrument);
    match periods {
        Some(Periods { regular: Period { start, end, gmtoffset } }) => session.trading(start, end, gmtoffset),
        None => session,
    }
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, FetchError> {
    serde_json::from_slice(body).map_err(|error| FetchError::BadBody(short(&error.to_string())))
}

fn text(value: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(value?.get()).ok()
}

fn problem(error: &RawValue) -> FetchError {
    let code = match serde_json::from_str::<YahooError>(error.get()) {
        Ok(problem) => short(&problem.code),
        Err(_) => short(error.get()),
    };
    match code.trim_matches('"').to_ascii_lowercase().as_str() {
        "not found" => FetchError::NotFound,
        "too many requests" => FetchError::RateLimited { retry_after: None },
        "unauthorized" | "forbidden" => FetchError::Refused { said: code, retry_after: None },
        "internal server error" | "internal-error" | "service unavailable" => {
            FetchError::Server { status: code, retry_after: None }
        }
        _ => FetchError::Client(code),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use stockwatch_crds::Ticker;

    use super::*;

    #[test]
    fn of_what_is_wrong_with_an_answer_no_more_is_said_than_a_log_line_holds() {
        let long = "x".repeat(1_000_000);
        for body in [
            format!(r#"{{"chart":"{long}"}}"#),
            format!(r#"{{"chart":{{"error":{{"code":"{long}"}}}}}}"#),
            format!(r#"{{"chart":{{"error":"{long}"}}}}"#),
        ] {
            let said = chart(body.as_bytes()).unwrap_err().to_string();
            assert!(said.len() < 300, "{} bytes", said.len());
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let body = r#"{"chart":{"error":{"code":"it's \u001b[2J\u202e\r\nover"}}}"#;
        let said = chart(body.as_bytes()).unwrap_err().to_string();
        assert!(said.ends_with(r"it's \u{1b}[2J\u{202e}\r\nover"), "{said}");
    }

    const META: &str = r#"{"currency":"GBp","symbol":"BARG.L","exchangeName":"LSE","instrumentType":"EQUITY","regularMarketTime":1790000000,"regularMarketPrice":187.500000000000001,"priceHint":2,"currentTradingPeriod":{"regular":{"timezone":"BST","start":1789997400,"end":1790020800,"gmtoffset":3600}},"dataGranularity":"1d","range":"1d"}"#;

    fn series(symbol: &str, meta: &str) -> String {
        format!(
            r#"{{"symbol":"{symbol}","response":[{{"meta":{meta},"timestamp":[1790000000],"indicators":{{"quote":[{{"close":[1.5]}}]}}}}]}}"#
        )
    }

    fn spark_of(series: &[String], symbols: &[&str]) -> Vec<Result<FetchedQuote, FetchError>> {
        spark(format!(r#"{{"spark":{{"result":[{}],"error":null}}}}"#, series.join(",")).as_bytes(), symbols)
            .unwrap()
    }

    #[test]
    fn a_spark_gives_the_same_quote_as_a_chart() {
        let ticker = Ticker { symbol: "BARG.L".into(), entity: "barge".into(), overrides: vec![] };
        let body = format!(r#"{{"chart":{{"result":[{{"meta":{META},"timestamp":[1]}}],"error":null}}}}"#);
        let charted = chart(body.as_bytes()).unwrap().to_json(&ticker).unwrap();
        let sparked = spark_of(&[series("BARG.L", META)], &["BARG.L"]).remove(0).unwrap();
        assert_eq!(charted, sparked.to_json(&ticker).unwrap());
        assert!(String::from_utf8(charted).unwrap().contains("187.500000000000001"));
    }

    #[test]
    fn a_quote_comes_with_its_market_and_a_malformed_market_is_no_reason_to_drop_the_quote() {
        let session = |meta: &str| {
            let quote = spark_of(&[series("BARG.L", meta)], &["BARG.L"]).remove(0).unwrap();
            quote.session().cloned().unwrap()
        };
        let lse = Session::new(Some("LSE".into()), Instrument::Other);
        assert_eq!(session(META), lse.clone().trading(1_789_997_400, 1_790_020_800, Some(3600)));
        let period = r#""currentTradingPeriod":{"regular":{"timezone":"BST","start":1789997400,"end":1790020800,"gmtoffset":3600}}"#;
        for odd in ["null", "7", "[]", "{}", r#"{"regular":null}"#, r#"{"regular":{"start":"soon","end":1}}"#]
        {
            let meta = META.replace(period, &format!(r#""currentTradingPeriod":{odd}"#));
            assert_eq!(session(&meta), lse, "{odd}");
        }
        let odd = META.replace(r#""LSE""#, "[1]").replace(r#""EQUITY""#, "{}").replace(period, r#""x":1"#);
        assert_eq!(session(&odd), Session::new(None, Instrument::Other));
        let fund = META.replace("EQUITY", "MUTUALFUND").replace(period, r#""x":1"#);
        assert_eq!(session(&fund), Session::new(Some("LSE".into()), Instrument::MutualFund));
    }

    #[test]
    fn each_symbol_of_a_spark_has_its_own_fate() {
        let meta = |symbol: &str| META.replace("BARG.L", symbol);
        let answered = [
            series("GHOST", r#"{"symbol":"GHOST","regularMarketTime":1072994400}"#),
            r#"{"symbol":"EMPTY","response":[]}"#.to_owned(),
            r#"{"symbol":"NULL","response":null}"#.to_owned(),
            r#"{"symbol":"ODD","response":"odd"}"#.to_owned(),
            r#"{"symbol":"BARE","response":[{}]}"#.to_owned(),
            "17".to_owned(),
            series("TIMELESS", r#"{"regularMarketPrice":5.0}"#),
            series("EUR=X", &meta("USDEUR=X")),
            r#"{"response":[{"meta":{"symbol":"NAMELESS","regularMarketPrice":1,"regularMarketTime":1}}]}"#
                .to_owned(),
            series("GOOD", &meta("OTHER")),
        ];
        let symbols =
            ["GOOD", "NAMELESS", "USDEUR=X", "GHOST", "BARE", "EMPTY", "NULL", "ODD", "UNKNOWN", "TIMELESS"];
        let quotes = spark_of(&answered, &symbols);
        let outcome = |quote: &Result<FetchedQuote, FetchError>| match quote {
            Ok(_) => "quote",
            Err(FetchError::NoPrice) => "no price",
            Err(FetchError::NotFound) => "left out",
            Err(_) => "bad",
        };
        assert_eq!(
            quotes.iter().map(outcome).collect::<Vec<_>>(),
            [
                "quote", "quote", "quote", "no price", "no price", "left out", "left out", "left out",
                "left out", "bad"
            ]
        );
    }

    #[test]
    fn an_error_in_a_spark_comes_before_all_else() {
        let known = series("GOOD", META);
        let error = |code: &str| {
            spark(format!(r#"{{"spark":{{"result":[{known}],"error":{code}}}}}"#).as_bytes(), &["GOOD"])
                .unwrap_err()
        };
        assert_eq!(
            error(r#"{"code":"Not Found","description":"No data found for spark symbols"}"#),
            FetchError::NotFound
        );
        let too_many = r#"{"code":"Bad Request","description":"Number of symbols needs to be less than or equal to 20"}"#;
        assert!(matches!(error(too_many), FetchError::Client(_)));
        assert!(error(r#"{"code":"Too Many Requests"}"#).is_refusal());
        let finance =
            br#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#;
        assert!(spark(finance, &["GOOD"]).unwrap_err().is_refusal());
        for body in ["{}", "[]", "", r#"{"chart":{"result":[]}}"#, r#"{"spark":{"result":[{"symbol":"GO"#] {
            assert!(matches!(spark(body.as_bytes(), &["GOOD"]), Err(FetchError::BadBody(_))), "{body}");
        }
    }
}
