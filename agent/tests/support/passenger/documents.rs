//! The documents of a fake instance, as version 6.0.17 writes them.

use std::fmt::Write as _;

/// A secret of every application; the agent must never show it.
pub const API_KEY: &str = "s3cretapik3ys3cretapik3y";

/// `/pool.xml`.
#[derive(Debug, Clone)]
pub struct FakePool {
    pub max: u64,
    /// Requests that wait for any capacity.
    pub waiting: u64,
    pub applications: Vec<FakeApplication>,
}

/// A group of the pool.
#[derive(Debug, Clone)]
pub struct FakeApplication {
    /// With the environment in brackets under Apache.
    pub name: String,
    pub waiting: u64,
    pub spawning: u64,
    pub workers: Vec<FakeWorker>,
}

/// A process of an application.
#[derive(Debug, Clone)]
pub struct FakeWorker {
    pub pid: u32,
    pub gupid: String,
    pub sessions: u64,
    pub processed: u64,
    /// Microseconds since the epoch.
    pub spawned_us: u64,
    /// Microseconds since the epoch.
    pub last_used_us: u64,
    /// `life_status` and `enabled`.
    pub state: (&'static str, &'static str),
    /// `rss`, `pss`, `private_dirty`, `swap`, `real_memory`, kB, -1 for unknown; `None` before the first measurement.
    pub memory_kib: Option<[i64; 5]>,
}

/// `/server.json`, summed over both threads.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeCounts {
    pub accepted: u64,
    pub begun: u64,
    pub active: u64,
    pub fetches: u64,
    pub hits: u64,
    pub stores: u64,
}

impl FakePool {
    /// Room for six processes, and none there.
    pub fn new() -> Self {
        Self {
            max: 6,
            waiting: 0,
            applications: Vec::new(),
        }
    }

    /// With one more application.
    pub fn with(mut self, application: FakeApplication) -> Self {
        self.applications.push(application);
        self
    }

    /// The document, in ISO-8859-1.
    pub fn xml(&self) -> Vec<u8> {
        let count: usize = self.applications.iter().map(|one| one.workers.len()).sum();
        let used: u64 = self.applications.iter().map(FakeApplication::used).sum();
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\" ?>\n<info version=\"3\"><passenger_version>6.0.17</passenger_version>\
             <group_count>{}</group_count><process_count>{count}</process_count><max>{}</max>\
             <capacity_used>{used}</capacity_used><get_wait_list_size>{}</get_wait_list_size><supergroups>",
            self.applications.len(),
            self.max,
            self.waiting,
        );
        self.applications.iter().for_each(|one| one.write(&mut xml));
        xml += "</supergroups></info>";
        xml.chars()
            .map(|char| u8::try_from(char).unwrap())
            .collect()
    }
}

impl FakeApplication {
    /// One without processes.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            waiting: 0,
            spawning: 0,
            workers: Vec::new(),
        }
    }

    /// With these processes.
    pub fn with(mut self, workers: impl IntoIterator<Item = FakeWorker>) -> Self {
        self.workers.extend(workers);
        self
    }

    fn used(&self) -> u64 {
        self.spawning + self.workers.len() as u64
    }

    fn write(&self, xml: &mut String) {
        let name = escaped(&self.name);
        let (used, waiting) = (self.used(), self.waiting);
        let enabled = |state| {
            self.workers
                .iter()
                .filter(|one| one.state.1 == state)
                .count()
        };
        write!(
            xml,
            "<supergroup><name>{name}</name><state>READY</state><get_wait_list_size>0</get_wait_list_size>\
             <capacity_used>{used}</capacity_used><group default=\"true\"><name>{name}</name>\
             <component_name>{name}</component_name>\
             <app_root>{name}</app_root><app_type>ruby</app_type><environment>production</environment>\
             <uuid>EWNYZ4pWGH4cwMnnmYHK</uuid>\
             <enabled_process_count>{}</enabled_process_count><disabling_process_count>{}</disabling_process_count>\
             <disabled_process_count>{}</disabled_process_count><capacity_used>{used}</capacity_used>\
             <get_wait_list_size>{waiting}</get_wait_list_size><disable_wait_list_size>0</disable_wait_list_size>\
             <processes_being_spawned>{}</processes_being_spawned><life_status>ALIVE</life_status>\
             <user>www-data</user><uid>33</uid><group>www-data</group><gid>33</gid>\
             <options><app_group_name>{name}</app_group_name><api_key>{API_KEY}</api_key>\
             <max_processes>0</max_processes></options><processes>",
            enabled("ENABLED"),
            enabled("DISABLING"),
            enabled("DISABLED"),
            self.spawning,
        )
        .unwrap();
        self.workers.iter().for_each(|one| one.write(xml));
        *xml += "</processes></group></supergroup>";
    }
}

impl FakeWorker {
    /// An idle one that was measured.
    pub fn new(pid: u32) -> Self {
        Self {
            pid,
            gupid: format!("1c88d52-{pid}"),
            sessions: 0,
            processed: 0,
            spawned_us: 1_795_235_674_793_723,
            last_used_us: 1_795_235_674_823_733,
            state: ("ALIVE", "ENABLED"),
            memory_kib: Some([400, 300, 100, 0, 100]),
        }
    }

    fn write(&self, xml: &mut String) {
        let (life_status, enabled) = self.state;
        let began = self.spawned_us - 179_243;
        write!(
            xml,
            "<process><pid>{}</pid><sticky_session_id>602227971</sticky_session_id><gupid>{}</gupid><concurrency>1</concurrency>\
             <sessions>{}</sessions><busyness>0</busyness><processed>{}</processed>\
             <spawner_creation_time>{began}</spawner_creation_time><spawn_start_time>{began}</spawn_start_time>\
             <spawn_end_time>{}</spawn_end_time><last_used>{}</last_used><last_used_desc>6s ago</last_used_desc>\
             <uptime>6s</uptime><life_status>{life_status}</life_status><enabled>{enabled}</enabled>",
            self.pid, self.gupid, self.sessions, self.processed, self.spawned_us, self.last_used_us,
        )
        .unwrap();
        if let Some([rss, pss, private_dirty, swap, real]) = self.memory_kib {
            write!(
                xml,
                "<has_metrics>true</has_metrics><cpu>2</cpu><rss>{rss}</rss><pss>{pss}</pss>\
                 <private_dirty>{private_dirty}</private_dirty><swap>{swap}</swap><real_memory>{real}</real_memory>\
                 <vmsize>1025980</vmsize><process_group_id>{0}</process_group_id><command>Passenger RubyApp: /srv</command>",
                self.pid
            )
            .unwrap();
        }
        *xml += "</process>";
    }
}

impl FakeCounts {
    /// The document.
    pub fn json(self) -> String {
        let thread = |number: u64| {
            // The first thread has half of all, the second one the rest.
            let part = |count: u64| {
                if number == 1 {
                    count / 2
                } else {
                    count - count / 2
                }
            };
            serde_json::json!({
                "active_client_count": part(self.active), "active_clients": {}, "server_state": "ACTIVE",
                "total_clients_accepted": part(self.accepted), "total_requests_begun": part(self.begun),
                "total_bytes_consumed": 1538, "turbocaching": {
                    "fetches": part(self.fetches), "hits": part(self.hits), "hit_ratio": null,
                    "stores": part(self.stores), "store_successes": 0, "store_success_ratio": null,
                },
            })
        };
        serde_json::json!({ "thread1": thread(1), "thread2": thread(2), "threads": 2 }).to_string()
    }
}

/// `properties.json`.
pub fn properties(name: &str, integration_mode: &str) -> String {
    serde_json::json!({
        "instance_dir": {
            "created_at": 1_795_235_712, "created_at_monotonic_usec": 2_613_576_065_u64, "major_version": 4, "minor_version": 0,
        },
        "instance_id": "tou4qo-prTdV2-v6PwCj", "integration_mode": integration_mode, "name": name,
        "passenger_version": "6.0.17", "server_software": "Apache/2.4.71 (Debian) Phusion_Passenger/6.0.17",
        "watchdog_pid": std::process::id(),
    })
    .to_string()
}

/// As Passenger escapes: everything but letters, digits and some signs by its number, Latin-1 as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        let is_plain = char.is_ascii_alphanumeric()
            || " /_-.".contains(char)
            || ('\u{a0}'..='\u{ff}').contains(&char);
        match is_plain {
            true => escaped.push(char),
            false => write!(escaped, "&#{};", u32::from(char)).unwrap(),
        }
    }
    escaped
}
