//! Bytes to heads and bodies. Strict: what two parsers could read differently is refused.

pub mod body;
pub mod chunked;
pub mod h1;
pub mod trailers;
