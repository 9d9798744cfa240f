use headcount::{process::*, group::*, source::{bpf::{self, *}, *}};
fn now()->u64{let mut t=libc::timespec{tv_sec:0,tv_nsec:0};unsafe{libc::clock_gettime(libc::CLOCK_BOOTTIME,&mut t)};t.tv_sec as u64*1_000_000_000+t.tv_nsec as u64}
fn rss()->String{ std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l|l.starts_with("VmRSS")||l.starts_with("VmHWM")).collect::<Vec<_>>().join(" ")}
fn main(){
  println!("{}", rss());
  let t=std::time::Instant::now();
  let s=bpf::start(Request::Auto,None,Sizes{ring_bytes:1<<20,overflow_entries:8192},4096).unwrap();
  println!("{:?} {:?} {:?}", s, t.elapsed(), rss());
  unsafe{libc::malloc_trim(0)}; println!("trim {}", rss());
  let mut k=s.kernel.unwrap(); let since=now();
  let mut table=Table::new(since);
  let mut g=Grouper::new(Box::new(|f:&Facts| Some(String::from_utf8_lossy(&f.comm).into_owned())),1000);
  let mut names=Names::new(Default::default());
  k.begin_self_test(now());
  for i in 0..5 {
    let t=std::time::Instant::now();
    let pass=k.pass(now()).unwrap();
    let mut ev=0;
    if i==0 {table.observe(&pass,&mut g);}
    k.drain(&mut names,&mut |f| {ev+=1; match f {Found::Event(e)=>{ if i==1 {println!("{e:?}")} table.apply(e,&mut g)},Found::Coarse(c)=>g.book_coarse(&c)}}).unwrap();
    if i>0 {table.observe(&pass,&mut g);}
    for u in table.unclassified(){ let comm=std::fs::read(format!("/proc/{}/comm",u.id.tgid)).unwrap_or_default(); let mut c=comm; c.pop(); g.adopt(u.account,u.parent); g.identify(u.account,&Facts{comm:c,..Default::default()}); table.classified(u.id);}
    g.settle(); g.measure(table.live());
    println!("{:?} {} procs {} threads {} events {:?} {:?}",t.elapsed(),pass.processes.len(),pass.threads.len(),ev,table.statistics(),k.self_test(now()));
    if i==0 { std::process::Command::new("sh").args(["-c","for i in 1 2 3; do /bin/true; done; (exit 3)"]).status().unwrap(); std::thread::sleep(std::time::Duration::from_millis(300)); }
    if i==2 { for _ in 0..1000 {std::process::Command::new("/bin/true").status().unwrap();} }
    if i==3 { std::thread::sleep(std::time::Duration::from_millis(1000)); }
  }
  for gr in g.groups(){ println!("{} {:?} {:?}", gr.name, gr.total, gr.gauges)}
  let mut st=headcount::source::Statistics::default(); k.describe(&mut st).unwrap(); println!("{st:?}\n{}",rss());
}
