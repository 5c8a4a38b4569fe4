//! Connections from the network, from the first byte to the last answer, or until a request becomes a WebSocket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::http::App;
use crate::http::front::Peer;
use crate::limits::{HANDSHAKES_SHED, REQUEST_HEAD_BYTES_MAX, REQUEST_HEAD_MS_MAX, REQUEST_HEADERS_MAX};
use crate::throttle::{Busy, Handshake};

/// Takes connections until `end`. Running out of file descriptors is survived: those who wait in
/// the queue get their turn when others leave.
pub(super) async fn accept(listener: TcpListener, app: &App, router: Router, end: &CancellationToken) {
    let handshakes = app.throttle.handshakes();
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, end) = (router.clone(), end.clone());
                tokio::spawn(Box::pin(connection(stream, Peer(peer), handshakes.enter(), router, end)));
            }
            // Those who have sent nothing yet make room for those who wait.
            Err(_) if handshakes.shed(HANDSHAKES_SHED) > 0 => tokio::task::yield_now().await,
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted; raise the limit of open files if this goes on");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one connection from the network, unless it has to make room before a request of it has come.
async fn connection(
    stream: TcpStream,
    peer: Peer,
    handshake: Handshake,
    router: Router,
    end: CancellationToken,
) {
    // Edits are small and must not wait for company.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let (handshake, router) = (Arc::new(handshake), TowerToHyperService::new(router));
    let ends = Arc::clone(&handshake);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let busy = handshake.busy();
        request.extensions_mut().insert(peer);
        let answered = router.call(request);
        async move { answered.await.map(|answer| answer.map(|body| hold(body, busy))) }
    });
    tokio::select! {
        () = serve_requests(stream, service, end) => {}
        () = ends.ends() => {}
    }
}

/// A request is being answered until the last of its answer's body was taken: who downloads something large does not make
/// room meanwhile.
fn hold(body: Body, busy: Busy) -> Body {
    if body.is_end_stream() { body } else { Body::new(Answering { body, _busy: busy }) }
}

struct Answering {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Requests and answers on one stream, until it is done, becomes a WebSocket, or `end` comes: then the call
/// under way is finished.
pub(crate) async fn exchange<S>(stream: S, router: Router, end: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve_requests(stream, TowerToHyperService::new(router), end).await;
}

async fn serve_requests<S, V>(stream: S, service: V, end: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: Service<hyper::Request<Incoming>, Response = axum::response::Response, Error = Infallible>,
    V::Future: Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(REQUEST_HEAD_MS_MAX))
        .max_buf_size(REQUEST_HEAD_BYTES_MAX)
        .max_headers(REQUEST_HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
