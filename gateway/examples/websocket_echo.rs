//! Sends every message back, by the node's own reading of the protocol and on plain blocking sockets: what
//! conformance suites test. `websocket_echo server` takes connections and prints its port; `websocket_echo client
//! ADDRESS` goes through the cases of a suite that is the server.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use gateway::data_plane::{
    buffer::Buffer,
    websocket::messages::{Event, Messages, Role, Violation},
};

/// As the suites' longest messages.
const MESSAGE_BYTES_LIMIT: usize = 16 << 20;
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

#[expect(clippy::print_stdout, reason = "who starts it reads the port")]
fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server"] => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            println!("{}", listener.local_addr()?.port());
            for stream in listener.incoming() {
                let stream = stream?;
                // A connection that fails is one case that fails.
                thread::spawn(move || serve(stream));
            }
            Ok(())
        }
        ["client", address] => client(address),
        _ => Err(io::Error::other("server, or client ADDRESS")),
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (head, _) = head(&mut stream)?;
    let name = "sec-websocket-key:";
    let key = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with(name));
    let key = key.map_or("", |line| line[name.len()..].trim());
    let joined = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, joined.as_bytes());
    let accept = BASE64_STANDARD.encode(hash);
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    )?;
    echo(
        stream,
        Messages::new(Buffer::default(), Role::Server, MESSAGE_BYTES_LIMIT),
    )
    .map(drop)
}

/// How the suite has it: the number of cases, each of them, and the report.
fn client(address: &str) -> io::Result<()> {
    let count = open(address, "/getCaseCount")?;
    let count = String::from_utf8_lossy(&count).parse::<u32>();
    for case in 1..=count.map_err(io::Error::other)? {
        // How it ends is the suite's to judge.
        let _ = open(address, &format!("/runCase?case={case}&agent=keyway"));
    }
    open(address, "/updateReports?agent=keyway").map(drop)
}

fn open(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    )?;
    let (_, early) = head(&mut stream)?;
    let mut inbox = Buffer::default();
    inbox.extend(&early);
    echo(
        stream,
        Messages::new(inbox, Role::Client, MESSAGE_BYTES_LIMIT),
    )
}

/// A head, and what came behind it.
fn head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        let mut piece = [0; 1024];
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

/// The last message.
fn echo(mut stream: TcpStream, mut messages: Messages) -> io::Result<Vec<u8>> {
    let mut last = Vec::new();
    loop {
        let is_over = loop {
            match messages.step() {
                Ok(Some(Event::Message { is_text })) => {
                    let message = messages.take();
                    last = message.to_vec();
                    messages.push_payload(is_text, message);
                }
                Ok(Some(Event::Closed(code))) => {
                    messages.push_close(code);
                    break true;
                }
                Err(Violation(code)) => {
                    messages.push_close(Some(code));
                    break true;
                }
                Ok(None) => break false,
            }
        };
        stream.write_all(messages.out.data())?;
        messages.out.consume(messages.out.len());
        if is_over {
            // What still comes would reset the connection, and the close frame be lost. Whoever is gone lost it.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = io::copy(&mut stream, &mut io::sink());
            return Ok(last);
        }
        let space = messages.inbox.space(4096);
        match stream.read(space)? {
            0 => return Ok(last),
            read => messages.inbox.filled(read),
        }
    }
}
