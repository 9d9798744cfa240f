//! stub
#[derive(Debug, Default)]
pub struct Users;
impl Users { pub fn name(&mut self, uid: u32) -> String { uid.to_string() } }
