//! The provider over HTTP/2.

use h2::Reason;
use h2::server::SendResponse;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::http::{Request, Response};

use super::{Asked, Provider};
use crate::answer::Answer;

/// Answers the requests of one connection.
pub(super) async fn serve(provider: Provider, connection: TlsStream<TcpStream>) {
    let Ok(mut connection) = h2::server::handshake(connection).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let answer = provider.answer(asked(&request));
        // Whoever hangs up early gets no answer.
        let _ = send(answer, respond);
    }
}

fn asked<T>(request: &Request<T>) -> Asked {
    let target = request.uri().path_and_query().unwrap().to_string();
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Asked { target, headers: headers.collect(), body: String::new() }
}

fn send(answer: Answer, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let Answer::Whole(status, headers, body) = answer else {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    };
    let lines = headers.lines().filter_map(|line| line.split_once(": "));
    let response = lines
        .fold(Response::builder().status(status), |response, (name, value)| response.header(name, value));
    respond.send_response(response.body(()).unwrap(), false)?.send_data(body.into(), true)
}
