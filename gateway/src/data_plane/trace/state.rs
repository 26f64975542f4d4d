//! `tracestate`: a list of `key=value`, which may be spread over several fields. It is passed on as it came or
//! not at all: a part of it might mislead.

/// Members of one list.
const MEMBERS_LIMIT: usize = 32;
/// All fields together. At least 512 are to be passed on.
const BYTES_LIMIT: usize = 1024;
const KEY_BYTES_LIMIT: usize = 256;
/// Of `tenant@system`.
const TENANT_BYTES_LIMIT: usize = 241;
const SYSTEM_BYTES_LIMIT: usize = 14;
const VALUE_BYTES_LIMIT: usize = 256;

/// Whether all of it can be passed on.
pub(super) fn is_valid<'f>(fields: impl Iterator<Item = &'f [u8]>) -> bool {
    let (mut members, mut bytes) = (0, 0);
    for field in fields {
        bytes += field.len();
        if bytes > BYTES_LIMIT {
            return false;
        }
        for member in field.split(|&byte| byte == b',') {
            let member = trim(member);
            if member.is_empty() {
                continue;
            }
            members += 1;
            if members > MEMBERS_LIMIT || !is_member(member) {
                return false;
            }
        }
    }
    true
}

/// Spaces and tabs are optional around members (RFC 9110 section 5.6.3).
fn trim(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

fn is_member(member: &[u8]) -> bool {
    let Some(at) = member.iter().position(|&byte| byte == b'=') else {
        return false;
    };
    is_key(&member[..at]) && is_value(&member[at + 1..])
}

fn is_key(key: &[u8]) -> bool {
    match key.iter().position(|&byte| byte == b'@') {
        None => is_name(key, KEY_BYTES_LIMIT) && key[0].is_ascii_lowercase(),
        Some(at) => {
            let (tenant, system) = (&key[..at], &key[at + 1..]);
            is_name(tenant, TENANT_BYTES_LIMIT)
                && is_name(system, SYSTEM_BYTES_LIMIT)
                && system[0].is_ascii_lowercase()
        }
    }
}

fn is_name(name: &[u8], limit: usize) -> bool {
    let may = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
    let starts = matches!(name.first(), Some(b'a'..=b'z' | b'0'..=b'9'));
    starts && name.len() <= limit && name.iter().all(may)
}

/// Printable ASCII without `,` and `=`; it does not end in a space, as that is trimmed.
fn is_value(value: &[u8]) -> bool {
    let may = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'=';
    (1..=VALUE_BYTES_LIMIT).contains(&value.len()) && value.iter().all(may)
}
