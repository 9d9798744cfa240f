//! Applications: a folder with a program in one of three languages.
//!
//! Two files of the folder hold an application up while they exist: `booting` its start, `held` the requests to `/hold`. So tests
//! wait for states, not for times, and an application whose folder is removed goes on by itself.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

const RUBY: &str = "\
root = __dir__
sleep 0.01 while File.exist?(root + '/booting')
run lambda { |env|
  sleep 0.01 while env['PATH_INFO'] == '/hold' && File.exist?(root + '/held')
  [200, { 'Content-Type' => 'text/plain' }, [\"ok\\n\"]]
}
";
const PYTHON: &str = "\
import os, time
root = os.path.dirname(os.path.abspath(__file__))
while os.path.exists(root + '/booting'):
    time.sleep(0.01)
def application(environ, start_response):
    while environ['PATH_INFO'] == '/hold' and os.path.exists(root + '/held'):
        time.sleep(0.01)
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'ok\\n']
";
const NODE: &str = "\
const fs = require('fs');
const there = (name) => fs.existsSync(`${__dirname}/${name}`);
const answer = (request, response) => {
  const later = request.url === '/hold' && there('held');
  return later ? setTimeout(answer, 10, request, response) : response.end('ok\\n');
};
const boot = () => there('booting') ? setTimeout(boot, 10) : require('http').createServer(answer).listen(0);
boot();
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Ruby,
    Python,
    Node,
}

impl Language {
    pub(crate) const ALL: [Self; 3] = [Self::Ruby, Self::Python, Self::Node];

    /// The file by which Passenger knows the language, and its text.
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Ruby => ("config.ru", RUBY),
            Self::Python => ("passenger_wsgi.py", PYTHON),
            Self::Node => ("app.js", NODE),
        }
    }
}

/// An application of a test.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) root: PathBuf,
}

impl App {
    /// Writes it into `root`. Passenger runs it as its owner.
    pub(crate) fn write(root: &Path, language: Language, uid: u32) -> Self {
        let (name, text) = language.program();
        for folder in ["public", "tmp"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join(name), text).unwrap();
        for path in [root.to_owned(), root.join(name), root.join("tmp")] {
            chown(path, Some(uid), Some(uid)).unwrap();
        }
        Self {
            root: root.to_owned(),
        }
    }

    /// Its name in the original's families, without the environment in brackets that Apache adds: the last part of its path.
    pub(crate) fn short_name(&self) -> String {
        self.root.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// Holds requests to `/hold` up, until [`App::release`].
    pub(crate) fn hold(&self) {
        fs::write(self.root.join("held"), "").unwrap();
    }

    pub(crate) fn release(&self) {
        fs::remove_file(self.root.join("held")).unwrap();
    }

    /// Holds up the start of its processes, until [`App::boot`].
    pub(crate) fn delay_boot(&self) {
        fs::write(self.root.join("booting"), "").unwrap();
    }

    pub(crate) fn boot(&self) {
        fs::remove_file(self.root.join("booting")).unwrap();
    }
}
