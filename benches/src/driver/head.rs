//! The little of HTTP/1.1 heads that driver and upstream look at.

use memchr::memmem;

/// Where the head ends, blank line included.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// The `content-length` of a complete head.
pub(super) fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let line = head.split(|byte| *byte == b'\n').find(|line| {
        line.get(..NAME.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })?;
    std::str::from_utf8(&line[NAME.len()..])
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_found_in_any_case() {
        let table: [(&[u8], Option<usize>); 4] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n", Some(17)),
            (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", Some(0)),
            (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", None),
            (b"HTTP/1.1 200 OK\r\nx-content-length: 5\r\n\r\n", None),
        ];
        for (head, length) in table {
            assert_eq!(content_length(head), length, "{}", head.escape_ascii());
            assert_eq!(end(head), Some(head.len()));
        }
    }
}
