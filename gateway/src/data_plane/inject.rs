use super::{message::RequestHead, policy::Permit};
use crate::handoff::{reason::Reason, snapshot::Target};
pub enum BodyLength { None, Length(u64), Chunked }
pub struct Request<'a> { pub head: &'a RequestHead, pub permit: &'a Permit<'a>, pub target: &'a Target, pub body: BodyLength }
pub fn write_h1(_r: &Request<'_>, _out: &mut Vec<u8>) {}
pub fn h2_request(_r: &Request<'_>) -> Result<http::Request<()>, Reason> { Err(Reason::Draining) }
pub fn response_header_passes(_name: &[u8]) -> bool { true }
