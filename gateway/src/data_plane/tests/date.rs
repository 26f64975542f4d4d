//! `Date` in what the node answers itself, and in what it forwards.

use super::*;

const ELSEWHERE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// The date of an answer, which has to have exactly one.
fn date(answer: &str) -> &str {
    let mut dates = (answer.lines()).filter_map(|line| line.strip_prefix("date: "));
    let date = dates.next().unwrap_or_else(|| panic!("no date: {answer}"));
    assert_eq!(dates.next(), None, "{answer}");
    date
}

fn assert_is_now(date: &str) {
    let age = httpdate::parse_http_date(date).unwrap().elapsed();
    assert!(age.unwrap() < Duration::from_secs(60), "{date}");
}

#[test]
fn answers_of_the_node_have_the_date() {
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |_| {});
        let mut client = node.connect();
        let requests = [
            ("GET /v1/models HTTP/1.1\r\nHost: ep.test\r\n\r\n", "200"),
            ("GET /nowhere HTTP/1.1\r\nHost: ep.test\r\n\r\n", "404"),
            ("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", "421"),
            ("nonsense\r\n\r\n", "400"),
        ];
        for (request, status) in requests {
            client.write_all(request.as_bytes()).unwrap();
            let answer = read_message(&mut client).unwrap();
            assert_eq!(&answer[9..12], status, "{answer}");
            assert_is_now(date(&answer));
        }
        node.stop(|records| assert_eq!(records.len(), requests.len()));
    });
}

#[test]
fn a_forwarded_answer_keeps_its_date_or_gets_one() {
    both_drivers(|driver| {
        for name in ["date", "Date", "DATE"] {
            let upstream = provider(move |stream, _| {
                let head = format!("HTTP/1.1 200 OK\r\n{name}: {ELSEWHERE}\r\n");
                write!(stream, "{head}Content-Length: 2\r\n\r\n{{}}").unwrap();
            });
            let node = start(driver, upstream, |_| {});
            let mut client = node.connect();
            client
                .write_all(chat(r#"{"model":"m"}"#).as_bytes())
                .unwrap();
            let answer = read_message(&mut client).unwrap().replace(name, "date");
            assert_eq!(date(&answer), ELSEWHERE);
            node.stop(|records| assert_eq!(records.len(), 1));
        }
        let node = start(driver, provider(answer_json), |_| {});
        let mut client = node.connect();
        client
            .write_all(chat(r#"{"model":"m"}"#).as_bytes())
            .unwrap();
        assert_is_now(date(&read_message(&mut client).unwrap()));
        node.stop(|records| assert_eq!(records.len(), 1));
    });
}

#[test]
fn answers_over_http2_have_the_date() {
    both_drivers(|driver| {
        let node = start(driver, provider(answer_json), |_| {});
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let io = tokio::net::TcpStream::connect(node.address).await.unwrap();
            let (mut client, connection) = h2::client::handshake(io).await.unwrap();
            let connection = tokio::spawn(connection);
            for (path, status) in [("/v1/models", 200), ("/nowhere", 404)] {
                let request = http::Request::get(format!("http://ep.test{path}"));
                let request = request.body(()).unwrap();
                client = client.ready().await.unwrap();
                let (response, _) = client.send_request(request, true).unwrap();
                let response = response.await.unwrap();
                assert_eq!(response.status(), status);
                let mut dates = response.headers().get_all("date").iter();
                assert_is_now(dates.next().unwrap().to_str().unwrap());
                assert_eq!(dates.next(), None);
            }
            drop(client);
            connection.await.unwrap().unwrap();
        });
        node.stop(|records| assert_eq!(records.len(), 2));
    });
}
