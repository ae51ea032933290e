//! Reads an answer of Yahoo's chart endpoint: a quote, or the reason why there is none.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{FetchError, FetchedQuote};

/// ISO codes have 3 letters.
const MAX_CURRENCY_BYTES: usize = 16;
/// Characters of an answer that an error message repeats.
const MAX_SHOWN_CHARS: usize = 200;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    chart: Option<Chart<'a>>,
    /// Errors that other parts of Yahoo raise come under this key.
    #[serde(borrow)]
    finance: Option<Chart<'a>>,
}

#[derive(Deserialize)]
struct Chart<'a> {
    #[serde(borrow)]
    result: Option<Vec<Entry<'a>>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
}

/// Raw JSON texts, so that no price passes through a float.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    regular_market_price: Option<&'a RawValue>,
    #[serde(borrow)]
    regular_market_time: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
}

/// Returns the current quote in an answer's body.
///
/// # Errors
/// The error that the answer names, or why it cannot be read.
pub fn read(body: &[u8]) -> Result<FetchedQuote, FetchError> {
    let answer: Answer<'_> =
        serde_json::from_slice(body).map_err(|error| FetchError::BadBody(short(&error.to_string())))?;
    let Some(chart) = answer.chart.or(answer.finance) else {
        return Err(FetchError::BadBody("neither chart nor finance in it".into()));
    };
    if let Some(error) = chart.error {
        return Err(problem(error));
    }
    let Some(entry) = chart.result.unwrap_or_default().into_iter().next() else {
        return Err(FetchError::NotFound);
    };
    // Without this field there may still be past closes, which are not the current price.
    let Some(Meta { regular_market_price: Some(price), regular_market_time: time, currency }) = entry.meta
    else {
        return Err(FetchError::NoPrice);
    };
    let currency = currency.and_then(|text| serde_json::from_str::<String>(text.get()).ok());
    let currency = currency.filter(|text| !text.is_empty() && text.len() <= MAX_CURRENCY_BYTES);
    let time = time.ok_or_else(|| FetchError::BadBody("no regularMarketTime".into()))?;
    FetchedQuote::new(price.get(), time.get(), currency)
}

fn problem(error: &RawValue) -> FetchError {
    let code = match serde_json::from_str::<ErrorBody>(error.get()) {
        Ok(problem) => short(&problem.code),
        Err(_) => short(error.get()),
    };
    match code.to_ascii_lowercase().as_str() {
        "not found" => FetchError::NotFound,
        "too many requests" => FetchError::RateLimited { retry_after: None },
        "internal server error" | "internal-error" | "service unavailable" => {
            FetchError::Server { status: code, retry_after: None }
        }
        _ => FetchError::Client(code),
    }
}

fn short(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_error_repeats_no_more_of_an_answer_than_a_log_line_holds() {
        let long = "x".repeat(1_000_000);
        for body in [
            format!(r#"{{"chart":"{long}"}}"#),
            format!(r#"{{"chart":{{"error":{{"code":"{long}"}}}}}}"#),
            format!(r#"{{"chart":{{"error":"{long}"}}}}"#),
        ] {
            let said = read(body.as_bytes()).unwrap_err().to_string();
            assert!(said.len() < 300, "{} bytes", said.len());
        }
    }
}
