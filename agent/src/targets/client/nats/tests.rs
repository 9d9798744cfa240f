use tokio::io::{DuplexStream, duplex};

use super::said::MOST_MESSAGE;
use super::*;

/// A connection, and the server's end of it.
fn connected() -> (NatsConnection, DuplexStream) {
    let (own, server) = duplex(1 << 20);
    (NatsConnection::over(Box::new(own)), server)
}

/// The bytes that the server has received.
async fn heard(mut server: DuplexStream, connection: NatsConnection) -> String {
    drop(connection);
    let mut text = String::new();
    server.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn too_long_message_is_skipped_and_the_next_one_is_received() {
    let (mut connection, mut server) = connected();
    let length = 8 * MOST_MESSAGE;
    let mut bytes = format!("MSG a 0 {length}\r\n").into_bytes();
    bytes.extend([b'x'].repeat(length));
    bytes.extend(b"\r\n+OK\r\nMSG b 1 2\r\nhi\r\n");
    server.write_all(&bytes).await.unwrap();
    assert_eq!(connection.next().await, Ok(NatsHeard::TooLarge));
    assert_eq!(connection.next().await, Ok(NatsHeard::Message(1, b"hi")));
    assert!(connection.buffer.capacity() < MOST_MESSAGE);
}

#[tokio::test]
async fn pings_that_arrive_together_get_one_pong() {
    let (mut connection, mut server) = connected();
    let bytes = "PING\r\n".repeat(100) + "PONG\r\n";
    server.write_all(bytes.as_bytes()).await.unwrap();
    assert_eq!(connection.next().await, Ok(NatsHeard::Ready));
    server.write_all(b"PONG\r\n").await.unwrap();
    assert_eq!(connection.next().await, Ok(NatsHeard::Ready));
    assert_eq!(heard(server, connection).await, "PONG\r\n");
}

#[tokio::test(start_paused = true)]
async fn silent_server_gets_one_ping_and_is_then_given_up() {
    let (mut connection, mut server) = connected();
    let began = Instant::now();
    assert_eq!(connection.next().await, Err(late()));
    assert_eq!(began.elapsed(), 2 * SILENCE);
    connection.is_asked = false;
    let answering = async {
        let mut question = [0; 6];
        server.read_exact(&mut question).await.unwrap();
        server.read_exact(&mut question).await.unwrap();
        server.write_all(b"PONG\r\n").await.unwrap();
    };
    let (answer, ()) = tokio::join!(connection.next(), answering);
    assert_eq!(answer, Ok(NatsHeard::Ready));
    assert_eq!(heard(server, connection).await, "");
}

#[tokio::test(start_paused = true)]
async fn server_that_talks_but_does_not_accept_the_subscriptions_is_given_up() {
    let long = format!("MSG a 0 {MOST_MESSAGE}\r\n{}\r\n", "x".repeat(MOST_MESSAGE));
    // The first one is silent, and the last one never lets the agent wait.
    for (text, pause) in [
        ("", HANDSHAKE),
        ("+OK\r\n", HANDSHAKE / 8),
        (&long, Duration::ZERO),
    ] {
        let (mut connection, mut server) = connected();
        let began = Instant::now();
        connection.greeted = Some(began + HANDSHAKE);
        let talking = async move {
            // Fewer than it takes only if the agent does not give it up.
            for _ in 0..1_000 {
                if server.write_all(text.as_bytes()).await.is_err() {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
        };
        let hearing = async {
            let fault = loop {
                if let Err(fault) = connection.next().await {
                    break fault;
                }
            };
            drop(connection);
            (fault, began.elapsed())
        };
        let (given_up, ()) = tokio::join!(hearing, talking);
        assert_eq!(given_up, (late(), HANDSHAKE));
    }
    let (mut connection, mut server) = connected();
    connection.greeted = Some(Instant::now() + HANDSHAKE);
    server.write_all(b"PONG\r\n").await.unwrap();
    assert_eq!(connection.next().await, Ok(NatsHeard::Ready));
    let began = Instant::now();
    assert_eq!(connection.next().await, Err(late()));
    assert_eq!(began.elapsed(), 2 * SILENCE);
}

#[tokio::test(start_paused = true)]
async fn flood_is_read_at_a_bounded_rate() {
    let (mut connection, mut server) = connected();
    let began = Instant::now();
    // With their lines, the messages take less than the bytes allowed in three seconds.
    let messages = 3 * MOST_A_SECOND / MOST_MESSAGE - 1;
    let flooding = async {
        let line = format!("MSG a 0 {MOST_MESSAGE}\r\n");
        let message = [line.as_bytes(), &[b'x'].repeat(MOST_MESSAGE), b"\r\n"].concat();
        for _ in 0..messages {
            server.write_all(&message).await.unwrap();
        }
    };
    let hearing = async {
        for _ in 0..messages {
            let heard = connection.next().await.unwrap();
            assert!(
                matches!(heard, NatsHeard::Message(0, message) if message.len() == MOST_MESSAGE)
            );
        }
    };
    tokio::join!(flooding, hearing);
    assert_eq!(began.elapsed().as_secs(), 2);
    assert!(connection.buffer.capacity() < 4 * MOST_MESSAGE);
}

#[tokio::test]
async fn end_of_a_connection_has_its_reason() {
    for (bytes, failure) in [
        ("", Failure::Refused),
        ("-ERR 'Authorization Violation'\r\n", Failure::Denied),
        ("-ERR 'Authentication Timeout'\r\n", Failure::Denied),
        (
            "-ERR 'Permissions Violation for Subscription to \"a\"'\r\n",
            Failure::Denied,
        ),
        ("-ERR 'Account Authentication Expired'\r\n", Failure::Denied),
        ("-ERR 'Slow Consumer'\r\n", Failure::Limit),
        ("-ERR 'maximum connections exceeded'\r\n", Failure::Limit),
        (
            "-ERR 'maximum account active connections exceeded'\r\n",
            Failure::Limit,
        ),
        ("-ERR 'Maximum Connections Exceeded'\r\n", Failure::Limit),
        ("-ERR 'Stale Connection'\r\n", Failure::Timeout),
        ("-ERR 'Unknown Protocol Operation'\r\n", Failure::Malformed),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", Failure::Malformed),
    ] {
        let (mut connection, mut server) = connected();
        server.write_all(bytes.as_bytes()).await.unwrap();
        drop(server);
        let fault = connection.next().await.unwrap_err();
        assert_eq!(fault.failure, failure, "{fault:?}");
    }
}

#[tokio::test]
async fn server_that_refuses_with_its_first_words_is_quoted() {
    let info = "INFO {\"server_id\":\"x\"} \r\n";
    let limit = "-ERR 'maximum connections exceeded'\r\n";
    for (segments, expected) in [
        (vec![format!("{info}{limit}")], Ok(Failure::Limit)),
        (
            vec![format!("{info}-ER"), limit[3..].to_owned()],
            Ok(Failure::Limit),
        ),
        (vec![limit.to_owned()], Ok(Failure::Limit)),
        (vec![format!("{info}-ERR")], Ok(Failure::Refused)),
        (vec![format!("{info}PING\r\n")], Ok(Failure::Malformed)),
        (
            vec![format!("{info}\x16\x03\x01\r\n")],
            Ok(Failure::Malformed),
        ),
        (vec![info.to_owned()], Err(())),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = NatsAddress {
            addresses: vec![listener.local_addr().unwrap()],
            tls: None,
        };
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            for segment in &segments {
                stream.write_all(segment.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (opened, ()) = tokio::join!(NatsConnection::secured(&server), serving);
        let failure = opened.map(|_| ()).map_err(|fault| fault.failure);
        assert_eq!(failure.err().ok_or(()), expected, "{segments:?}");
    }
}

#[test]
fn password_is_not_printed() {
    let credentials = NatsCredentials {
        user: "u".to_owned(),
        password: "secret".to_owned(),
    };
    assert!(!format!("{credentials:?}").contains("secret"));
}
