//! Apache with Passenger's module: several applications in one instance.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::app::{App, Language};
use super::home::{Home, VARIABLE};
use super::instance::{Instance, host};
use super::requests::{free_port, is_listening};
use super::support::agent::until;

const MODULES: &str = "/usr/lib/apache2/modules";
const LOCATIONS: &str = "/usr/lib/ruby/vendor_ruby/phusion_passenger/locations.ini";
/// Owner of the applications: Debian's `www-data`.
pub(crate) const OWNER: u32 = 33;

/// Starts Apache with these applications (language, path below the folder of the test, environment) and room for two processes,
/// and waits until it serves. No application has a process yet.
pub(crate) fn start(home: &Home, apps: &[(Language, &str, &str)]) -> Instance {
    let port = free_port();
    let folder = home.path().join(format!("apache-{port}"));
    fs::create_dir(&folder).unwrap();
    let written: Vec<App> = apps
        .iter()
        .map(|(language, path, _)| App::write(&home.path().join(path), *language, OWNER))
        .collect();
    let mut text = server(&folder, &home.registry(), port);
    for (n, (app, (_, _, environment))) in written.iter().zip(apps).enumerate() {
        let _ = write!(
            text,
            "<VirtualHost *:{port}>\nServerName {}\nDocumentRoot {}/public\nPassengerAppEnv {environment}\n</VirtualHost>\n",
            host(n),
            app.root.display()
        );
    }
    let configuration = folder.join("apache.conf");
    fs::write(&configuration, text).unwrap();
    let output = Command::new("/usr/sbin/apache2")
        .arg("-f")
        .arg(&configuration)
        .args(["-k", "start"])
        .env(VARIABLE, &folder)
        .env("TMPDIR", &folder)
        .env_remove("PASSENGER_INSTANCE_REGISTRY_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // Apache reads its configuration twice, with an instance each time, and writes this file after the second.
    until("Apache", || {
        folder.join("pid").exists() && is_listening(port)
    });
    Instance::find(folder, &home.registry(), port, written)
}

/// The configuration, but the applications.
fn server(folder: &Path, registry: &Path, port: u16) -> String {
    let folder = folder.display();
    let mut text = format!(
        "ServerName localhost\n\
         ServerRoot {folder}\n\
         DefaultRuntimeDir {folder}\n\
         PidFile {folder}/pid\n\
         ErrorLog {folder}/log\n\
         Listen 127.0.0.1:{port}\n\
         User www-data\n\
         Group www-data\n"
    );
    for module in ["mpm_event", "authz_core", "dir", "passenger"] {
        let _ = writeln!(text, "LoadModule {module}_module {MODULES}/mod_{module}.so");
    }
    let _ = write!(
        text,
        "PassengerRoot {LOCATIONS}\n\
         PassengerInstanceRegistryDir {}\n\
         PassengerDisableSecurityUpdateCheck on\n\
         PassengerDisableAnonymousTelemetry on\n\
         PassengerPython /usr/bin/python3\n\
         PassengerMaxPoolSize 2\n",
        registry.display()
    );
    text
}
