//! Loads of the generator that use TCP over loopback.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::generator::pin;
use super::usage;

/// Descriptors that are no connection's, at most.
const OTHER_FILES: u64 = 100;

/// Keeps this process on one CPU and listens in a network namespace of its own: sockets that a run leaves in TIME_WAIT end with
/// the namespace, and do not slow the next run down. An agent counts the sockets of all namespaces.
fn alone() -> Result<(TcpListener, SocketAddr)> {
    pin();
    // SAFETY: takes no pointer.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    ensure!(
        result == 0,
        "new network namespace: {}",
        std::io::Error::last_os_error()
    );
    let mut up = Command::new("ip");
    crate::command::read(up.args(["link", "set", "lo", "up"]))?;
    listen()
}

fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Both ends of a new connection.
fn connect(listener: &TcpListener, address: SocketAddr) -> Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(address).context("connect")?;
    Ok((client, listener.accept().context("accept")?.0))
}

/// Runs `work` and prints its CPU and wall time, nanoseconds.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (cpu_ns, start) = (usage::own_cpu_ns()?, Instant::now());
    work()?;
    let wall_ns = start.elapsed().as_nanos();
    println!("{} {wall_ns}", usage::own_cpu_ns()? - cpu_ns);
    Ok(())
}

/// Connects, accepts and closes, client first; before that a tenth of it untimed.
pub(super) fn connect_all(count: u32) -> Result<()> {
    let (listener, address) = alone()?;
    let run = |count| (0..count).try_for_each(|_| connect(&listener, address).map(drop));
    run(count / 10)?;
    timed(|| run(count))
}

/// One byte to and fro between both ends in one thread, so that nothing is measured but sends and receives; before that a tenth
/// of it untimed.
pub(super) fn round_trips(count: u32) -> Result<()> {
    let (listener, address) = alone()?;
    let (client, server) = connect(&listener, address)?;
    let run = |count| (0..count).try_for_each(|_| exchange(&client, &server));
    run(count / 10)?;
    timed(|| run(count))
}

fn exchange(mut client: &TcpStream, mut server: &TcpStream) -> Result<()> {
    client.write_all(b".")?;
    server.read_exact(&mut [0])?;
    server.write_all(b".")?;
    Ok(client.read_exact(&mut [0])?)
}

/// Connections that live as long as the value.
pub(super) struct Connections(Vec<(TcpStream, TcpStream)>);

impl Connections {
    /// Makes connections with this many sockets in total.
    pub(super) fn of_sockets(sockets: u32) -> Result<Self> {
        let files = u64::from(sockets) + OTHER_FILES;
        let limit = libc::rlimit {
            rlim_cur: files,
            rlim_max: files,
        };
        // SAFETY: reads a local variable.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        ensure!(
            result == 0,
            "limit of {files} files: {}",
            std::io::Error::last_os_error()
        );
        let (listener, address) = listen()?;
        let connections = (0..sockets / 2).map(|_| connect(&listener, address));
        Ok(Self(connections.collect::<Result<_>>()?))
    }

    /// One byte to and fro over each connection.
    pub(super) fn exchange(&self) -> Result<()> {
        self.0
            .iter()
            .try_for_each(|(client, server)| exchange(client, server))
    }
}
