//! HTTP/2 without TLS, by prior knowledge, beside HTTP/1.1 on the same listener.

use bytes::Bytes;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const SETTINGS_KIND: u8 = 4;
const BODY: &str = r#"{"model":"m"}"#;

/// Sends two chats over one connection, one after the other.
async fn chats(address: SocketAddr) {
    let io = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..2 {
        let request = http::Request::post("http://ep.test/v1/chat/completions")
            .header("authorization", "Bearer agents-own")
            .body(())
            .unwrap();
        client = client.ready().await.unwrap();
        let (response, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from(BODY), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let data = response.into_body().data().await.unwrap().unwrap();
        assert!(data.ends_with(b"}}"), "{data:?}");
    }
    drop(client);
    connection.await.unwrap().unwrap();
}

#[test]
fn an_agent_that_knows_speaks_http2() {
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |_| {});
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(chats(node.address));
        node.stop(|records| {
            assert_eq!(records.len(), 2);
            for record in records {
                assert_eq!((record.http_version, record.status), (20, 200));
                assert_eq!(record.outcome, Outcome::Answered);
            }
        });
    });
}

#[test]
fn the_preface_may_come_in_any_pieces() {
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |_| {});
        for cut in 0..=PREFACE.len() {
            let mut client = node.connect();
            client.set_nodelay(true).unwrap();
            client.write_all(&PREFACE[..cut]).unwrap();
            // Half a preface is answered by nothing that could be waited for.
            std::thread::sleep(Duration::from_millis(3));
            client.write_all(&PREFACE[cut..]).unwrap();
            client.write_all(&EMPTY_SETTINGS).unwrap();
            let mut header = [0; 9];
            client.read_exact(&mut header).unwrap();
            assert_eq!(header[3], SETTINGS_KIND, "cut at {cut}: {header:?}");
        }
        node.stop(|records| assert_eq!(records.len(), 0));
    });
}

#[test]
fn what_only_begins_like_the_preface_is_no_http2() {
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |config| {
            config.timeouts.request_head = Duration::from_millis(100);
        });
        let status = |client: &mut TcpStream| read_message(client).unwrap()[9..12].to_owned();
        for cut in 1..PREFACE.len() {
            let mut client = node.connect();
            client.write_all(&PREFACE[..cut]).unwrap();
            client.write_all(b"#\r\n\r\n").unwrap();
            assert_eq!(status(&mut client), "400", "cut at {cut}");

            let mut client = node.connect();
            client.write_all(&PREFACE[..cut]).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(status(&mut client), "400", "ended at {cut}");
        }
        let mut client = node.connect();
        client.write_all(&PREFACE[..14]).unwrap();
        // Until here the request line may still go on.
        assert_eq!(status(&mut client), "408");

        let mut client = node.connect();
        client.set_nodelay(true).unwrap();
        client.write_all(b"P").unwrap();
        std::thread::sleep(Duration::from_millis(3));
        client.write_all(&chat(BODY).as_bytes()[1..]).unwrap();
        assert_eq!(status(&mut client), "200");

        // Only the first bytes of a connection are a preface.
        client.write_all(PREFACE).unwrap();
        assert_eq!(status(&mut client), "400");
        node.stop(|records| {
            assert_eq!(records.len(), 2 * (PREFACE.len() - 1) + 3);
            assert!(records.iter().all(|record| record.http_version == 11));
        });
    });
}

#[test]
fn an_upgrade_is_not_taken_up() {
    both_drivers(|driver| {
        let (seen, requests) = mpsc::channel();
        let upstream = provider(move |stream, request| {
            seen.send(request.clone()).unwrap();
            answer_json(stream, request);
        });
        let node = start(driver, upstream, |_| {});
        let mut client = node.connect();
        let upgrade = "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                       HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
        let request = chat(BODY).replacen("\r\n\r\n", upgrade, 1);
        client.write_all(request.as_bytes()).unwrap();
        let answer = read_message(&mut client).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!requests.recv().unwrap().to_lowercase().contains("h2c"));
        drop(client);
        node.stop(|records| assert_eq!(records[0].http_version, 11));
    });
}

#[test]
fn floods_end_the_connection_as_over_tls() {
    const FRAMES: usize = 2000;
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |_| {});
        let client = node.connect();
        let mut reader = client.try_clone().unwrap();
        // Reads while it writes: a flood whose answers nobody takes would stop itself.
        let answered = std::thread::spawn(move || {
            let (mut answers, mut buffer) = (0, [0; 4096]);
            loop {
                match reader.read(&mut buffer) {
                    Ok(0) => return answers,
                    Ok(n) => answers += n,
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                        return answers;
                    }
                    Err(error) => panic!("the connection goes on: {error}"),
                }
            }
        });
        let mut writer = client;
        writer
            .write_all(&[PREFACE, &EMPTY_SETTINGS].concat())
            .unwrap();
        for _ in 0..FRAMES {
            if writer.write_all(&PING).is_err() {
                break;
            }
        }
        assert!(answered.join().unwrap() < FRAMES * PING.len());
        node.stop(|records| assert_eq!(records.len(), 0));
    });
}
