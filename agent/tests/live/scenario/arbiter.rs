//! A process that looks like Gunicorn's arbiter, and its workers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use super::arguments::overwrite;
use super::number;
use crate::process;

/// `--name=NAME`: reads commands from its standard input, a line each, and answers each by one line; a worker answers for itself, when it
/// is ready. Ends with its input, and ends its workers before.
pub(super) fn arbiter(arguments: &[String]) {
    let name = arguments[0].strip_prefix("--name=").unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    println!("port {}", listener.local_addr().unwrap().port());
    let mut has_title = false;
    let mut workers = Vec::new();
    while let Some(line) = super::worker::read_line() {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["title"] => {
                set_title("master", name);
                has_title = true;
            }
            ["worker"] => {
                workers.push(process::fork(|| {
                    process::end_with_parent();
                    if has_title {
                        set_title("worker", name);
                    }
                    println!("worker {}", process::own_pid());
                    loop {
                        serve(listener.accept().unwrap().0);
                    }
                }));
                continue;
            }
            ["brief", code] => {
                let code = i32::try_from(number(code)).unwrap();
                process::reap(process::fork(|| process::exit(code)));
            }
            ["program"] => {
                let words = ["other", "scenario", "end", "0", "success"];
                let child = process::fork(|| process::exec(Path::new("/proc/self/exe"), &words));
                process::reap(child);
            }
            ["kill", pid, signal] => {
                let pid = i32::try_from(number(pid)).unwrap();
                process::kill(pid, i32::try_from(number(signal)).unwrap());
                process::reap(pid);
                workers.retain(|worker| *worker != pid);
            }
            ["reap", pid] => {
                let pid = i32::try_from(number(pid)).unwrap();
                process::reap(pid);
                workers.retain(|worker| *worker != pid);
            }
            _ => panic!("{line:?} is no command"),
        }
        println!("done 1");
    }
    for worker in workers {
        process::kill(worker, libc::SIGTERM);
        process::reap(worker);
    }
}

/// A program and its arguments: runs it as process 1 of a pid namespace of its own, after a line of input.
pub(super) fn contained(arguments: &[String]) {
    // SAFETY: no pointers.
    let code = unsafe { libc::unshare(libc::CLONE_NEWPID) };
    assert_eq!(code, 0, "{}", std::io::Error::last_os_error());
    let child = process::fork(|| {
        process::end_with_parent();
        super::worker::read_line();
        process::exec(Path::new(&arguments[0]), arguments);
    });
    println!("first {child}");
    process::reap(child);
}

/// As the module setproctitle does.
fn set_title(kind: &str, name: &str) {
    let mut title = format!("gunicorn: {kind} [{name}]").into_bytes();
    title.resize(4096, 0);
    overwrite(&title);
}

/// Answers the requests of a connection: `GET /500` by that status, any other one by 200.
fn serve(mut connection: TcpStream) {
    let mut request = Vec::new();
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = connection.read(&mut bytes) {
        request.extend_from_slice(&bytes[..count]);
        if request.ends_with(b"\r\n\r\n") {
            let status = match request.starts_with(b"GET /500 ") {
                true => "500 Own",
                false => "200 OK",
            };
            let response = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            connection.write_all(response.as_bytes()).unwrap();
            request.clear();
        }
    }
}
