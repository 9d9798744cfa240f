//! A headless Chromium, driven by WebDriver: JSON over HTTP to `chromedriver`, which listens on the loopback interface.
//!
//! Both are ended when the [`Browser`] is dropped, by the session's end and by the driver's process id.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::support::agent::{PATIENCE, until};

/// The key under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    /// Files that the browser leaves behind.
    _files: tempfile::TempDir,
}

impl Browser {
    /// A browser with one empty tab.
    pub(crate) fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver; cargo xtask browser installs it");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        let mut browser = Self {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port.unwrap())),
            session: String::new(),
            _files: files,
        };
        // Root may not use the sandbox, and small machines have little shared memory.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        }}});
        let session = browser.ask("POST", "/session", &wanted).unwrap();
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    pub(crate) fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    /// The result of `script`, the body of a function.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until it returns true.
    pub(crate) fn wait(&self, script: &str) {
        until(script, || self.run(&format!("return {script}")) == true);
    }

    /// The text of the first element that a CSS selector finds, as it is rendered.
    pub(crate) fn text(&self, selector: &str) -> String {
        let found = self.run(&format!(
            "return document.querySelector({}).innerText",
            json!(selector)
        ));
        found.as_str().unwrap().trim().to_owned()
    }

    /// The text of a column of the table of groups, row by row, without the rows that are hidden.
    pub(crate) fn column(&self, number: usize) -> Vec<String> {
        let script = format!(
            "return [...document.querySelectorAll('#groups > tbody > tr:not(.detail)')] \
             .filter((row) => !row.hidden).map((row) => row.cells[{number}].innerText.trim())"
        );
        let found = self.run(&script);
        let found = found.as_array().unwrap().iter();
        found
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    }

    /// Clicks, as a person does: the element is to be seen, and nothing may lie over it.
    pub(crate) fn click(&self, selector: &str) {
        self.command(
            &format!("/element/{}/click", self.element(selector)),
            &json!({}),
        );
    }

    /// Types into an element.
    pub(crate) fn type_into(&self, selector: &str, keys: &str) {
        let path = format!("/element/{}/value", self.element(selector));
        self.command(&path, &json!({ "text": keys }));
    }

    fn element(&self, selector: &str) -> String {
        let found = json!({"using": "css selector", "value": selector});
        let found = self.command("/element", &found);
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Runs a command of the DevTools protocol and returns its result.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.command("/goog/cdp/execute", &body)
    }

    /// The width of the window and the colours that its person prefers.
    pub(crate) fn appear(&self, width: u32, colours: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
        let size =
            json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// The lines on the console since the last call: errors of scripts, files that could not be loaded or that the page's policy
    /// forbade.
    pub(crate) fn console(&self) -> Vec<String> {
        let lines = self.command("/se/log", &json!({"type": "browser"}));
        let lines = lines.as_array().unwrap().iter();
        lines.map(|line| line["message"].to_string()).collect()
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        let answer = self.ask("POST", &path, body);
        answer.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let size = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let (head, body) = read_answer(stream).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        match head.split(' ').nth(1) {
            Some("200") => Ok(answer["value"].take()),
            _ => Err(answer["value"]["message"].to_string()),
        }
    }
}

/// Status line and headers, and the body. The driver keeps the connection open after every request.
fn read_answer(stream: TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; lengths.next_back().unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; the driver may be gone already.
        let _ = self.ask("DELETE", &self.session, &json!({}));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
