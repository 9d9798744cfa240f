//! The least that a scrape can cost: the task iterator read to its end, and bytes written.

use std::io::{BufRead as _, Read as _, Write as _};

use headcount::source::Tier;
use headcount::source::bpf::{self, AccountingRequest, Kernel, Sizes};

/// Most bytes that the kernel gives for one read.
const READ_BYTES: usize = 32 * 1024;

/// For each line of the input, which is a number: reads the iterator, and writes so many bytes.
pub fn serve() -> Result<(), String> {
    let sizes = Sizes {
        ring_bytes: 1 << 20,
        overflow_entries: 1024,
        run_queue_slots: None,
        network_owners: None,
        has_udp: false,
        request_owners: None,
        has_gunicorn: false,
    };
    let request = AccountingRequest::Only(Tier::Iterator);
    let start = bpf::start(request, None, sizes, 4096)?;
    let kernel = start.kernel.ok_or("no kernel programs")?;
    answer(&kernel).map_err(|error| error.to_string())
}

fn answer(kernel: &Kernel) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; READ_BYTES];
    for line in std::io::stdin().lock().lines() {
        let bytes = line?.trim().parse().map_err(std::io::Error::other)?;
        let mut tasks = kernel.tasks()?;
        while tasks.read(&mut buffer)? > 0 {}
        out.write_all(&vec![b'#'; bytes])?;
        out.flush()?;
    }
    Ok(())
}
