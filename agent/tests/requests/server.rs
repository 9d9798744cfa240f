//! The servers: how each is started, where its log is, and which shapes it cannot take.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::support::agent::until;
use super::support::place::{Place, Server, free_port};

const APP: &str = include_str!("app.py");
const RACKUP: &str = include_str!("config.ru");
const FILE_BYTES: usize = 1_000_000;
/// Debian's interpreter, with Debian's packages.
const DEBIAN_PYTHON: &str = "/usr/bin/python3";

/// Where a server takes requests: a port, or a Unix socket in the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Port(u16),
    Unix,
}

/// A server that a test starts under a name of its own, which is the name of its group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Names of shapes.
    pub(crate) lacks: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// The newest of PyPI or Debian's, with a worker class, as WSGI or ASGI.
    Gunicorn {
        is_newest: bool,
        class: &'static str,
        app: &'static str,
    },
    /// With this parser of HTTP.
    Uvicorn(&'static str),
    /// With this interface.
    Granian(&'static str),
    Puma,
}

/// The files of a test, before any server.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) place: Place,
    /// Whether Gunicorn has one: by default below the home directory, which is the place.
    pub(crate) has_control_socket: bool,
}

impl Site {
    pub(crate) fn new() -> Self {
        let place = Place::new();
        fs::write(place.file("app.py"), APP).unwrap();
        fs::write(place.file("config.ru"), RACKUP).unwrap();
        fs::write(place.file("large"), vec![b'z'; FILE_BYTES]).unwrap();
        Self {
            place,
            has_control_socket: false,
        }
    }

    /// The name that a server of this row gives its application.
    pub(crate) fn app(&self, row: &Row) -> String {
        format!("{}/{}", self.place.path().display(), row.name)
    }

    /// Lines of the application.
    pub(crate) fn served(&self) -> PathBuf {
        self.place.file("served")
    }

    /// While it exists, requests to `/hold` wait.
    pub(crate) fn held(&self) -> PathBuf {
        self.place.file("held")
    }

    pub(crate) fn access_log(&self) -> PathBuf {
        self.place.file("access.log")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.place.file("socket")
    }

    /// Starts a server with these further words, and waits until it listens.
    pub(crate) fn start(&self, row: &Row, door: Door, words: &[&str]) -> Server {
        let mut command = row.command(self, door);
        command
            .env("SERVED", self.served())
            .env("HELD", self.held())
            .env("FILE", self.place.file("large"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .args(words);
        let output = |name: &str| Stdio::from(File::create(self.place.file(name)).unwrap());
        command.stdout(output(match row.kind {
            Kind::Gunicorn { .. } | Kind::Puma => "output",
            // Their access log goes to the standard output.
            Kind::Uvicorn(_) | Kind::Granian(_) => "access.log",
        }));
        command.stderr(output("errors"));
        let ports = match door {
            Door::Port(port) => vec![port],
            Door::Unix => vec![],
        };
        let server = Server::start(command, libc::SIGTERM, &ports);
        if door == Door::Unix {
            until("a Unix socket that listens", || {
                is_listening(&self.socket())
            });
        }
        server
    }
}

/// Whether a Unix socket of that path listens; a connection would be counted.
fn is_listening(path: &Path) -> bool {
    let text = fs::read_to_string("/proc/net/unix").unwrap();
    let path = path.to_str().unwrap();
    // The flag of a listener is the fourth word.
    let is_meant = |line: &str| line.ends_with(path) && line.split(' ').nth(3) == Some("00010000");
    text.lines().any(is_meant)
}

impl Row {
    fn command(&self, site: &Site, door: Door) -> Command {
        let (tcp, unix) = match door {
            Door::Port(port) => (format!("127.0.0.1:{port}"), String::new()),
            Door::Unix => (String::new(), site.socket().display().to_string()),
        };
        let port = tcp.rsplit(':').next().unwrap().to_owned();
        let place = &site.place;
        match self.kind {
            Kind::Gunicorn {
                is_newest,
                class,
                app,
            } => {
                let python = match is_newest {
                    true => installed().join("bin/python3"),
                    false => DEBIAN_PYTHON.into(),
                };
                let mut command = place.program(self.name, &python);
                let bind = match unix.is_empty() {
                    true => tcp,
                    false => format!("unix:{unix}"),
                };
                command
                    .args(["-m", "gunicorn", app, "--bind", &bind])
                    .args(["--worker-class", class, "--workers", "2"])
                    .args(["--limit-request-field_size", "100000", "--keep-alive", "30"])
                    .args(["--name", &site.app(self)])
                    .args(["--access-logformat", "%(m)s %(s)s"])
                    .arg("--access-logfile")
                    .arg(site.access_log());
                if class == "gthread" {
                    command.args(["--threads", "4"]);
                }
                if is_newest {
                    command
                        .env("HOME", place.path())
                        .env("PYTHONPATH", packages());
                    // Each fork waits for it.
                    if !site.has_control_socket {
                        command.arg("--no-control-socket");
                    }
                }
                command
            }
            Kind::Uvicorn(parser) => {
                let mut command = place.program(self.name, &installed().join("bin/python3"));
                command
                    .env("PYTHONPATH", packages())
                    .args(["-m", "uvicorn", "app:asgi", "--port", &port])
                    .args(["--http", parser, "--workers", "2"])
                    .args(["--h11-max-incomplete-event-size", "100000"]);
                command
            }
            Kind::Granian(interface) => {
                let mut command = place.program(self.name, &installed().join("bin/python3"));
                // If Debian's module is there, Granian gives itself a title without the folder.
                fs::write(place.file("setproctitle.py"), "raise ImportError\n").unwrap();
                let app = match interface {
                    "wsgi" => "app:wsgi",
                    _ => "app:asgi",
                };
                command
                    .env("PYTHONPATH", packages())
                    .args(["-m", "granian", app, "--port", &port])
                    .args(["--interface", interface, "--workers", "2"])
                    .args(["--access-log", "--access-log-fmt"])
                    .arg("\"%(method)s\" %(status)d");
                command
            }
            Kind::Puma => {
                let mut command = place.program(self.name, "/usr/bin/ruby".as_ref());
                command
                    .args(["/usr/bin/puma", "--workers", "2", "--threads", "2:4"])
                    .args(["--environment", "production", "--tag"])
                    .arg(place.path())
                    .args(["--bind", &format!("tcp://{tcp}")])
                    .arg(place.file("config.ru"));
                command
            }
        }
    }
}

/// The Python environment that `cargo xtask http` has made.
fn installed() -> PathBuf {
    let folder = std::env::var_os("HEADCOUNT_PYTHON");
    PathBuf::from(folder.expect("HEADCOUNT_PYTHON is set by `cargo xtask http`"))
}

/// Its packages: a program that runs under another name does not find its environment by itself.
fn packages() -> PathBuf {
    let versions = fs::read_dir(installed().join("lib")).unwrap();
    let mut folders = versions.map(|one| one.unwrap().path().join("site-packages"));
    folders.find(|folder| folder.exists()).unwrap()
}

/// nginx, which answers itself, or asks the server at the Unix socket.
pub(crate) fn start_nginx(site: &Site, port: u16, is_front: bool) -> Server {
    let place = &site.place;
    let folder = place.path().display();
    let root = place.file("root");
    fs::create_dir_all(&root).unwrap();
    let head = "HTTP/1.1 500 Oops\r\nServer: x\r\n\r\n";
    fs::write(root.join("heads"), head.repeat(20)).unwrap();
    fs::write(root.join("large"), vec![b'x'; FILE_BYTES]).unwrap();
    fs::write(root.join("file"), vec![b'x'; FILE_BYTES]).unwrap();
    let locations = match is_front {
        true => "location / { proxy_pass http://app; proxy_http_version 1.1; }".to_owned(),
        false => {
            let statuses = [200, 201, 204, 302, 304, 404, 500, 503];
            let status = |code| format!("location = /status/{code} {{ return {code}; }}\n");
            let statuses: String = statuses.into_iter().map(status).collect();
            statuses + "location = /echo { dav_methods PUT; }\nlocation = /heads { sendfile off; }"
        }
    };
    let text = format!(
        "user root;
        worker_processes 2;
        daemon off;
        pid {folder}/nginx.pid;
        events {{ worker_connections 1024; }}
        http {{
            log_format counted '$request_method $status';
            access_log {folder}/nginx.log counted;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            sendfile on;
            client_max_body_size 0;
            large_client_header_buffers 4 128k;
            keepalive_requests 1000000;
            upstream app {{ server unix:{folder}/socket; }}
            server {{
                listen 127.0.0.1:{port};
                root {folder}/root;
                {locations}
            }}
        }}
        "
    );
    fs::write(place.file("nginx.conf"), text).unwrap();
    let mut command = place.program("nginx", "/usr/sbin/nginx".as_ref());
    command.arg("-p").arg(place.path());
    command.arg("-e").arg(place.file("nginx-errors"));
    command.arg("-c").arg(place.file("nginx.conf"));
    command.stdout(Stdio::null());
    Server::start(command, libc::SIGTERM, &[port])
}

pub(crate) fn nginx_log(site: &Site) -> PathBuf {
    site.place.file("nginx.log")
}

/// A port that was free a moment ago, as a door.
pub(crate) fn port() -> (u16, Door) {
    let port = free_port();
    (port, Door::Port(port))
}
