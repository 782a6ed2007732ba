//! Receivers beside the sink, whose deliveries are not counted: one that behaves badly, or whose deliveries the database tells of.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does with a request.
#[derive(Debug, Clone, Copy)]
pub enum Answers {
    /// 200, after so long.
    After(Duration),
    Never,
    /// Nothing listens there any more.
    Nobody,
}

/// Starts it and tells its URL. It ends with the program.
pub async fn start(answers: Answers) -> anyhow::Result<String> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let wait = match answers {
        Answers::Nobody => return Ok(url),
        Answers::Never => None,
        Answers::After(wait) => Some(wait),
    };
    actix_rt::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            actix_rt::spawn(answer(stream, wait));
        }
    });
    Ok(url)
}

/// Answers each request 200 after a while, or never. What a request says does not matter, and each comes in one piece.
async fn answer(mut stream: TcpStream, wait: Option<Duration>) {
    let mut buffer = [0; 4096];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {
        match wait {
            None => std::future::pending::<()>().await,
            Some(wait) => tokio::time::sleep(wait).await,
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}
