//! A TCP connection that tells the request that it was made for how far it is, and sends nothing for it without its permit.
//!
//! Under TLS the bytes here are records, so what is the handshake and what is the request cannot be told apart. But the
//! request's are written last: if the permit stands at each write, it stood when the request was sent. Once the request has begun
//! or is over, the connection is like any other.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_rt::net::{ActixStream, Ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::call::Call;
use super::permit::NotSent;

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    io: TcpStream,
    /// The request that it was made for, while that is under way.
    call: Option<Rc<Call>>,
}

impl Wire {
    pub(super) fn new(io: TcpStream, call: Option<Rc<Call>>) -> Wire {
        Wire { io, call }
    }

    fn call(&mut self) -> Option<&Call> {
        if self.call.as_ref().is_some_and(|call| call.is_over()) {
            self.call = None;
        }
        self.call.as_deref()
    }

    fn check(&mut self) -> io::Result<()> {
        match self.call().is_none_or(Call::may_write) {
            true => Ok(()),
            false => Err(io::Error::other(NotSent)),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before
            && let Some(call) = self.call()
        {
            call.read();
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl ActixStream for Wire {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.io, context)
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.io, context)
    }
}
