//! Generic netlink (`linux/genetlink.h`): families with names, whose numbers the kernel gives out.

use std::io;

use nix::sys::socket::SockProtocol;

use super::{attributes, dump_of, short};

/// `struct genlmsghdr`.
const HEADER_BYTES: usize = 4;

/// The number of a family; `None` when the kernel has none of this name.
///
/// # Errors
/// When the kernel does not tell.
pub(in crate::control_plane) fn family(name: &str) -> io::Result<Option<u16>> {
    let controller = libc::GENL_ID_CTRL as u16;
    let command = libc::CTRL_CMD_GETFAMILY as u8;
    let families = dump(controller, command, 1, &[], |body| {
        let mut number = None;
        let mut is_wanted = false;
        for (kind, value) in attributes(body) {
            match i32::from(kind) {
                libc::CTRL_ATTR_FAMILY_ID => number = short(value),
                libc::CTRL_ATTR_FAMILY_NAME => {
                    is_wanted = value.strip_suffix(b"\0") == Some(name.as_bytes());
                }
                _ => {}
            }
        }
        number.filter(|_| is_wanted)
    })?;
    Ok(families.first().copied())
}

/// As [`super::dump`], from a family: `request` is attributes, and so is what `parse` gets.
///
/// # Errors
/// As there.
pub(in crate::control_plane) fn dump<T>(
    family: u16,
    command: u8,
    version: u8,
    request: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Vec<T>> {
    let body = [&[command, version, 0, 0], request].concat();
    dump_of(SockProtocol::NetlinkGeneric, family, &body, |body| {
        parse(body.get(HEADER_BYTES..)?)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_by_name() {
        let controller = family("nlctrl").unwrap();
        assert_eq!(controller, Some(libc::GENL_ID_CTRL as u16));
        assert_eq!(family("nlctr").unwrap(), None);
    }
}
