use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use super::super::look::tests::{host, looked, number, this};
use super::*;
use crate::config::ScrapePort;

/// Whether a connection has reached a listener.
fn confirmed(listener: NodeListener, address: SocketAddr, own: SocketAddr) -> Confirmed {
    let namespace = listener.namespace;
    let connection = NodeConnection {
        listener: Arc::new(listener),
        address,
        own,
    };
    let confirmed = confirm(&host(), namespace, &[connection]);
    confirmed.unwrap().pop().unwrap()
}

/// The listener, marked as in the agent's own network namespace or in another one.
fn placed(listener: &NodeListener, is_own: bool) -> NodeListener {
    NodeListener {
        is_own,
        ..*listener
    }
}

#[test]
fn connection_is_confirmed_while_its_listener_is_there() {
    let host = host();
    for bound in ["127.0.0.1:0", "[::]:0"] {
        let listener = TcpListener::bind(bound).unwrap();
        let port = number(listener.local_addr().unwrap());
        let mut found = looked(vec![this(&host, port)]);
        let instance = found.instances.pop().unwrap();
        let connection = TcpStream::connect(instance.address).unwrap();
        let own = connection.local_addr().unwrap();
        let other = SocketAddr::new(own.ip(), instance.address.port());
        // As if in another network namespace, too.
        for is_own in [true, false] {
            let reached = |own| {
                let listener = placed(&instance.listener, is_own);
                confirmed(listener, instance.address, own)
            };
            assert_eq!(reached(own), Ok(()), "{bound} {is_own}");
            // A redirection has led it to another place.
            assert_eq!(
                reached(other),
                Err(Failure::NotTheTarget),
                "{bound} {is_own}"
            );
        }
        let mut moved = placed(&instance.listener, false);
        moved.namespace.1 += 1;
        let moved = confirmed(moved, instance.address, own);
        assert_eq!(moved, Err(Failure::NotTheTarget), "{bound}");
        drop(listener);
        let ended = confirmed(placed(&instance.listener, true), instance.address, own);
        assert_eq!(ended, Err(Failure::NotTheTarget), "{bound}");
    }
}

#[test]
fn connection_taken_by_a_more_specific_listener_is_not_confirmed() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let listener = |local: &str, inode| TcpSocket {
        local: address(local),
        remote: address("0.0.0.0:0"),
        state: TcpState::Listens,
        inode,
    };
    let connection = |to, own| NodeConnection {
        listener: Arc::new(NodeListener {
            id: this(&host(), ScrapePort::Auto).id,
            inode: 1,
            is_own: true,
            user: 0,
            namespace: (0, 0),
            ipv6: None,
        }),
        address: address(to),
        own: address(own),
    };
    let ipv4 = connection("127.0.0.1:80", "127.0.0.1:50000");
    let ipv6 = connection("[::1]:80", "[::1]:50000");
    for (wanted, other, bound, is_taken) in [
        (&ipv4, "127.0.0.1:80", "0.0.0.0:80", true),
        (&ipv4, "127.0.0.1:80", "[::]:80", true),
        (&ipv4, "0.0.0.0:80", "[::]:80", true),
        (&ipv4, "0.0.0.0:80", "0.0.0.0:80", false),
        (&ipv4, "127.0.0.1:80", "127.0.0.1:80", false),
        (&ipv4, "10.0.0.1:80", "[::]:80", false),
        (&ipv4, "[::1]:80", "[::]:80", false),
        (&ipv6, "[::1]:80", "[::]:80", true),
        (&ipv6, "127.0.0.1:80", "[::]:80", false),
        (&ipv6, "0.0.0.0:80", "[::]:80", false),
    ] {
        let mut seen = ConnectionSeen {
            is_connected: true,
            ..ConnectionSeen::default()
        };
        seen.note(&listener(other, 2), wanted);
        assert!(!seen.has_reached(wanted), "{other} alone");
        seen.note(&listener(bound, 1), wanted);
        assert_eq!(seen.has_reached(wanted), !is_taken, "{other} {bound}");
    }
}

#[test]
fn ipv6_only_process_is_not_asked_at_the_ipv4_listener_of_another_process() {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
    socket.set_only_v6(true).unwrap();
    socket
        .bind(&"[::]:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    socket.listen(1).unwrap();
    let port = socket
        .local_addr()
        .unwrap()
        .as_socket_ipv6()
        .unwrap()
        .port();
    let impostor = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let connection = TcpStream::connect(impostor.local_addr().unwrap()).unwrap();
    let host = host();
    let own = this(&host, ScrapePort::Number(port));
    let found = looked(vec![own.clone()]);
    // Here both listeners belong to this process, so the nearer one is asked. Pretend that the process has only the other one:
    let tables = Place::trusted(std::path::Path::new("/proc/self")).unwrap();
    let mut inode = None;
    sockets(&tables, |socket| {
        if socket.local.port() == port && socket.local.is_ipv6() {
            inode = Some(socket.inode);
        }
        true
    })
    .unwrap();
    let found = &found.instances[0];
    let listener = NodeListener {
        inode: inode.unwrap(),
        ..placed(&found.listener, true)
    };
    let asked = impostor.local_addr().unwrap();
    let confirmed = confirmed(listener, asked, connection.local_addr().unwrap());
    assert_eq!(confirmed, Err(Failure::NotTheTarget));
}

#[test]
fn one_reading_serves_all_waiting_connections() {
    let host = Arc::new(host());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = ScrapePort::Number(listener.local_addr().unwrap().port());
    let instance = looked(vec![this(&host, port)]).instances.pop().unwrap();
    let connections = [(); 8].map(|()| TcpStream::connect(instance.address).unwrap());
    let confirmations = Rc::new(Confirmations::new());
    let end = Instant::now() + Duration::from_secs(60);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().unwrap();
    let confirmed = runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let all = connections.iter().map(|connection| NodeConnection {
            listener: Arc::clone(&instance.listener),
            address: instance.address,
            own: connection.local_addr().unwrap(),
        });
        let mut waiting: Vec<_> = all
            .map(|one| Box::pin(confirmations.confirm(&host, one, end)))
            .collect();
        // The first call begins a reading, and the others wait for the next one.
        std::future::poll_fn(|context| {
            for one in &mut waiting {
                assert!(one.as_mut().poll(context).is_pending());
            }
            std::task::Poll::Ready(())
        })
        .await;
        let key = (instance.listener.user, instance.listener.namespace);
        let queue = confirmations.queue(key);
        assert_eq!(queue.waiting.borrow().len(), connections.len() - 1);
        // The call that began the reading is dropped, whether the reading is over or not: the others get their results.
        drop(waiting.remove(0));
        let mut confirmed = Vec::new();
        for one in waiting {
            confirmed.push(one.await);
        }
        confirmed
    }));
    assert_eq!(confirmed, [Ok(()); 7]);
}
