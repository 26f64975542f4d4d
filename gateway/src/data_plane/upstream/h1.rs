//! HTTP/1.1 toward a provider.

use std::{
    io,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use crate::{
    data_plane::{
        buffer::Buffer,
        failure::Failure,
        message::{Fields, Framing, ResponseHead},
        parse::{body::BodyDecoder, h1},
        transport::Transport,
        upstream::pool::OpenGuard,
        worker::Worker,
    },
    handoff::{reason::Reason, snapshot::TargetId},
};

/// Informational responses skipped before the real one.
const INFORMATIONAL_LIMIT: usize = 8;

/// A connection that can carry one exchange at a time.
pub struct H1Connection {
    pub target: TargetId,
    pub transport: Transport,
    pub inbox: Buffer,
    pub opened: Instant,
    pub idle_since: Instant,
    pub _open: OpenGuard,
}

/// One exchange on an HTTP/1.1 connection.
pub struct H1Exchange {
    connection: Box<H1Connection>,
    head_bytes_limit: usize,
    head_request: bool,
    body: BodyDecoder,
    keep_alive: bool,
    broken: bool,
}

impl H1Exchange {
    pub fn new(connection: Box<H1Connection>, head_bytes_limit: usize, head_request: bool) -> Self {
        let body = BodyDecoder::new(Framing::None);
        Self {
            connection,
            head_bytes_limit,
            head_request,
            body,
            keep_alive: false,
            broken: false,
        }
    }

    /// Sends the head and what there is of the body in one go.
    pub async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.connection.transport.write_all(parts).await
    }

    /// The provider stopped taking the request; an answer may be there all the same, and will be the last.
    pub fn answered_early(&mut self) {
        self.broken = true;
    }

    pub async fn response(&mut self) -> Result<ResponseHead, Failure> {
        for _ in 0..INFORMATIONAL_LIMIT {
            let head = self.next_head().await?;
            if head.status == 101 {
                return Err(Failure::provider(Reason::ProviderProtocol, "unasked 101"));
            }
            if head.status >= 200 {
                self.keep_alive = head.keep_alive && !self.broken;
                self.body = BodyDecoder::new(head.framing);
                return Ok(head);
            }
        }
        Err(Failure::provider(
            Reason::ProviderProtocol,
            "too many informational responses",
        ))
    }

    async fn next_head(&mut self) -> Result<ResponseHead, Failure> {
        loop {
            let inbox = &mut self.connection.inbox;
            if !inbox.is_empty() {
                let parsed = h1::response(inbox.data(), self.head_bytes_limit, self.head_request)
                    .map_err(|reason| Failure::provider(reason, "response head"))?;
                if let Some((head, length)) = parsed {
                    inbox.consume(length);
                    return Ok(head);
                }
            }
            let received = (self.connection.transport.read(inbox).await)
                .map_err(|e| Failure::provider(Reason::ProviderCut, e))?;
            if received == 0 {
                return Err(Failure::provider(
                    Reason::ProviderCut,
                    "closed before the head",
                ));
            }
        }
    }

    /// See [`super::Upstream::poll_fill`].
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let connection = &mut self.connection;
        loop {
            let ready = (self.body.step(&mut connection.inbox))
                .map_err(|_| Failure::provider(Reason::ProviderProtocol, "bad chunk"))?;
            if ready || self.body.is_end() {
                return Poll::Ready(Ok(ready));
            }
            let received = ready!(connection.transport.poll_read(cx, &mut connection.inbox))
                .map_err(|e| Failure::provider(Reason::ProviderCut, e))?;
            if received == 0 && !self.body.ends_with_connection() {
                let failure = Failure::provider(Reason::ProviderCut, "closed inside the body");
                return Poll::Ready(Err(failure));
            }
        }
    }

    pub fn data(&self) -> &[u8] {
        self.body.data(&self.connection.inbox)
    }

    pub fn consume(&mut self) {
        self.body.consume(&mut self.connection.inbox);
    }

    pub fn take_trailers(&mut self) -> Option<Fields> {
        self.body.take_trailers()
    }

    /// Back to the pool, if nothing speaks against another exchange.
    pub fn finish(self, worker: &Rc<Worker>) {
        let clean = self.body.is_end() && self.connection.inbox.is_empty();
        if self.keep_alive && clean {
            worker.pool.give(worker, self.connection);
        }
    }
}
