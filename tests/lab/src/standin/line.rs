//! One line asked, one line answered.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longest line, in bytes.
const LONGEST: u64 = 4096;

/// A connection that carries lines.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Lines {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When nobody accepts within `wait`.
    pub async fn connect(at: SocketAddr, wait: Duration) -> anyhow::Result<Self> {
        let stream = timeout(wait, TcpStream::connect(at)).await.context("connect: silence")??;
        Ok(Self::new(stream))
    }

    /// Takes over a connection.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        // Without effect on what is carried; a refusal would only make it slower.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer }
    }

    /// The next line; none when the peer has closed.
    ///
    /// # Errors
    ///
    /// When the connection breaks or the line is longer than 4 KiB.
    pub async fn read(&mut self) -> anyhow::Result<Option<String>> {
        let mut line = String::new();
        let length = (&mut self.reader).take(LONGEST).read_line(&mut line).await?;
        if length == 0 {
            return Ok(None);
        }
        match line.strip_suffix('\n') {
            Some(line) => Ok(Some(line.trim_end_matches('\r').into())),
            None => bail!("a line that does not end"),
        }
    }

    /// Sends lines.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.writer.write_all(format!("{text}\n").as_bytes()).await?;
        Ok(())
    }

    /// Sends a line and waits for the answer; reset and silence are errors alike.
    ///
    /// # Errors
    ///
    /// When no answer comes within `wait`.
    pub async fn ask(&mut self, line: &str, wait: Duration) -> anyhow::Result<String> {
        let asking = async {
            self.write(line).await?;
            self.read().await?.context("closed")
        };
        timeout(wait, asking).await.context("silence")?
    }
}

/// Accepts connections for ever; each is served by a task of its own.
///
/// # Errors
///
/// When it cannot listen.
pub async fn listen<F, T>(at: SocketAddr, serve: F) -> anyhow::Result<()>
where
    F: Fn(Lines) -> T,
    T: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind(at).await.with_context(|| format!("listen on {at}"))?;
    println!("listening on {at}");
    loop {
        // Out of file descriptors or so: the next one may do.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let serving = serve(Lines::new(stream));
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                println!("a client is gone: {error:#}");
            }
        });
    }
}
