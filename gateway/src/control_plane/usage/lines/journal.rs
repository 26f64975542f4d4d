//! journald's native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): a datagram per record, with every
//! field of the access log as `KEYWAY_…`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::PathBuf,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg},
    },
};
use serde_json::value::RawValue;

use crate::{
    control_plane::usage::entry::AccessLogEntry,
    handoff::record::{ExchangeRecord, Outcome},
};

/// Where journald listens.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

const IDENTIFIER: &str = "keyway";
/// Finds just these entries: `journalctl MESSAGE_ID=…`.
const MESSAGE_ID: &str = "7ea1f24c05e94f0d9c2b8a6e3d4471b8";
/// journald keeps no field with a longer name.
const NAME_BYTES_MAX: usize = 64;
/// It does not take a datagram for so long: it is stuck, and what is at hand is lost.
const SEND_TIME_MAX: Duration = Duration::from_secs(1);

pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// journald need not be there yet: each record finds it anew.
    pub(super) fn new(path: PathBuf) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIME_MAX))?;
        Ok(Self { socket, path })
    }

    pub(super) fn send(
        &self,
        record: &ExchangeRecord<'_>,
        entry: &AccessLogEntry,
    ) -> io::Result<()> {
        let datagram = datagram(record, entry);
        match self.socket.send_to(&datagram, &self.path) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                // Too long for a datagram.
                Some(Errno::EMSGSIZE | Errno::ENOBUFS) => self.send_sealed(&datagram),
                Some(_) | None => Err(error),
            },
        }
    }

    /// As a file in memory that nobody can change any more.
    fn send_sealed(&self, bytes: &[u8]) -> io::Result<()> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create("keyway-access-log", flags)?);
        file.write_all(bytes)?;
        let file = OwnedFd::from(file);
        let seals = SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        sendmsg(
            self.socket.as_raw_fd(),
            &[],
            &[ControlMessage::ScmRights(&[file.as_raw_fd()])],
            MsgFlags::empty(),
            Some(&UnixAddr::new(&self.path)?),
        )?;
        Ok(())
    }
}

fn datagram(record: &ExchangeRecord<'_>, entry: &AccessLogEntry) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    field(&mut out, "MESSAGE", &message(entry));
    field(&mut out, "MESSAGE_ID", MESSAGE_ID);
    field(&mut out, "PRIORITY", priority(record));
    field(&mut out, "SYSLOG_IDENTIFIER", IDENTIFIER);
    let json = serde_json::to_string(entry).expect("entries are always JSON");
    let fields: BTreeMap<&str, &RawValue> =
        serde_json::from_str(&json).expect("an entry is an object, its keys are plain");
    for (name, value) in fields {
        if let Some(value) = text(value.get()) {
            let name = format!("KEYWAY_{}", name.to_ascii_uppercase());
            debug_assert!(name.len() <= NAME_BYTES_MAX);
            field(&mut out, &name, &value);
        }
    }
    out
}

/// Strings as they are, all else as JSON; `None` for what says nothing.
fn text(json: &str) -> Option<Cow<'_, str>> {
    match json {
        "null" | "\"\"" | "[]" => None,
        json if json.starts_with('"') => serde_json::from_str(json).ok().map(Cow::Owned),
        json => Some(Cow::Borrowed(json)),
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// For people; programs read the fields.
fn message(entry: &AccessLogEntry) -> String {
    let user = match entry.display_name.is_empty() {
        true => &entry.user_id,
        false => &entry.display_name,
    };
    let parts = [
        entry.method.as_str(),
        &entry.path,
        &entry.model,
        &entry.status_code.to_string(),
        entry.outcome,
        &entry.reason,
        user,
        &format!("{} ms", entry.duration_ms),
    ];
    let said: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    // A name that others chose makes no second line.
    said.join(" ").replace(char::is_control, "\u{fffd}")
}

/// Of syslog: a warning is what the agent could do nothing about.
fn priority(record: &ExchangeRecord<'_>) -> &'static str {
    const WARNING: &str = "4";
    const INFO: &str = "6";
    match record.outcome {
        Outcome::ProviderError | Outcome::Cut | Outcome::GatewayError => WARNING,
        Outcome::Answered | Outcome::Denied | Outcome::ClientError | Outcome::Cancelled => INFO,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{io::Read as _, mem::size_of, os::fd::FromRawFd};

    use nix::sys::socket::{ControlMessageOwned, recvmsg};

    use super::*;
    use crate::handoff::record::tests::sample;

    /// Reads the protocol as journald does.
    fn parse(mut bytes: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            let line = std::str::from_utf8(&bytes[..end]).unwrap();
            bytes = &bytes[end + 1..];
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let (length, rest) = bytes.split_at(size_of::<u64>());
                    let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
                    assert_eq!(rest[length], b'\n');
                    bytes = &rest[length + 1..];
                    (line, String::from_utf8(rest[..length].to_vec()).unwrap())
                }
            };
            let is_plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(is_plain), "{name}");
            fields.insert(name.to_owned(), value);
        }
        fields
    }

    fn sent(record: &ExchangeRecord<'_>) -> BTreeMap<String, String> {
        parse(&datagram(record, &AccessLogEntry::of(record)))
    }

    #[test]
    fn every_field_of_the_log_is_a_field_of_the_journal() {
        let fields = sent(&sample());
        for (name, value) in [
            (
                "MESSAGE",
                "POST /v1/chat/completions gpt-4o 200 answered ada@example.com 850 ms",
            ),
            ("PRIORITY", "6"),
            ("SYSLOG_IDENTIFIER", "keyway"),
            ("KEYWAY_ID", "019e7044887b00010200000000000001"),
            ("KEYWAY_MODEL", "gpt-4o"),
            ("KEYWAY_COST_USD", "0.0384"),
            ("KEYWAY_GROUP_IDS", r#"["engineers","everyone"]"#),
            ("KEYWAY_STREAM", "true"),
            ("KEYWAY_TRACE_ID", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ] {
            assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}");
        }
        // What says nothing is left out.
        assert!(!fields.contains_key("KEYWAY_REASON"));
        assert!(fields.keys().all(|name| name.len() <= NAME_BYTES_MAX));
    }

    #[test]
    fn nobody_adds_fields_or_entries_of_his_own() {
        let fields = sent(&ExchangeRecord {
            outcome: Outcome::Cut,
            model: "m\nPRIORITY=0\n\nMESSAGE=forged",
            ..sample()
        });
        assert_eq!(fields["PRIORITY"], "4");
        assert_eq!(fields["KEYWAY_MODEL"], "m\nPRIORITY=0\n\nMESSAGE=forged");
        let message = &fields["MESSAGE"];
        assert!(message.starts_with("POST /v1/chat") && !message.contains('\n'));
    }

    #[test]
    fn what_is_too_long_for_a_datagram_comes_sealed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::new(path).unwrap();
        let groups: Vec<String> = (0..40_000).map(|i| format!("group-{i}")).collect();
        let long = ExchangeRecord {
            group_ids: groups.iter().map(String::as_str).collect(),
            ..sample()
        };
        for record in [&long, &sample()] {
            journal.send(record, &AccessLogEntry::of(record)).unwrap();
        }
        let mut space = nix::cmsg_space!(std::os::fd::RawFd);
        let received = recvmsg::<()>(
            journald.as_raw_fd(),
            &mut [],
            Some(&mut space),
            MsgFlags::empty(),
        )
        .unwrap();
        let Some(ControlMessageOwned::ScmRights(fds)) = received.cmsgs().unwrap().next() else {
            panic!("no file came");
        };
        // SAFETY: the kernel has just made it for this process, and nobody else has it.
        let mut file = unsafe { File::from_raw_fd(fds[0]) };
        let seals = fcntl(&file, FcntlArg::F_GET_SEALS).unwrap();
        assert!(SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_WRITE));
        let mut bytes = Vec::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert!(parse(&bytes)["KEYWAY_GROUP_IDS"].ends_with("\"group-9999\"]"));
        // The next one fits again.
        let mut bytes = vec![0; 1 << 16];
        let length = journald.recv(&mut bytes).unwrap();
        assert_eq!(parse(&bytes[..length])["KEYWAY_MODEL"], "gpt-4o");
    }
}
