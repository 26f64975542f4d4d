//! WireGuard devices of programs (`wireguard-go` and others): their cross-platform interface, a unix
//! socket per device (wireguard.com/xplatform). An answer holds the device's private key too; it is passed
//! over, and the buffer is wiped when it is freed, as all are.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use super::{AllowedIp, Keys, encoded};

const DIRECTORY: &str = "/var/run/wireguard";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer takes some 400 bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// `None` when no program has a device of this name.
///
/// # Errors
/// When one has, and does not tell.
pub(super) fn read(device: &str) -> io::Result<Option<Keys>> {
    let path = Path::new(DIRECTORY).join(format!("{device}.sock"));
    let mut stream = match UnixStream::connect(path) {
        // A program that was killed leaves its socket behind.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        connected => connected?,
    };
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(b"get=1\n\n")?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while !answer.ends_with(b"\n\n") {
        let read = stream.read(&mut buffer)?;
        if read == 0 || answer.len() as u64 > ANSWER_BYTES_MAX {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    parse(&answer).map(Some)
}

/// # Errors
/// When it is not whole, or an error.
fn parse(answer: &[u8]) -> io::Result<Keys> {
    let mut keys = Keys::new();
    let mut key = None;
    let mut is_whole = false;
    for line in answer.split(|byte| *byte == b'\n') {
        // Nothing here may be shown: lines hold keys.
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "it is not as documented");
        let Ok(line) = str::from_utf8(line) else {
            return Err(malformed());
        };
        match line.split_once('=') {
            Some(("public_key", text)) => {
                let encoded = decoded(text).as_deref().and_then(encoded);
                let encoded = encoded.ok_or_else(malformed)?;
                keys.insert(encoded.clone(), Vec::new());
                key = Some(encoded);
            }
            Some(("allowed_ip", text)) => {
                let list = key.as_ref().and_then(|key| keys.get_mut(key));
                let list = list.ok_or_else(malformed)?;
                list.push(allowed_ip(text).ok_or_else(malformed)?);
            }
            Some(("errno", "0")) => is_whole = true,
            Some(("errno", code)) => {
                return Err(io::Error::other(format!("it fails with errno {code}")));
            }
            Some(_) | None => {}
        }
    }
    match is_whole {
        true => Ok(keys),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn allowed_ip(text: &str) -> Option<AllowedIp> {
    let (address, prefix) = text.split_once('/')?;
    Some(AllowedIp {
        address: address.parse().ok()?,
        prefix: prefix.parse().ok()?,
    })
}

/// Of hexadecimal digits.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
    };
    pairs
        .iter()
        .map(byte)
        .collect::<Option<_>>()
        .filter(|_| rest.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let hex = |byte: u8| format!("{byte:02x}").repeat(32);
        let answer = format!(
            "private_key={}\nlisten_port=51820\npublic_key={}\npreshared_key={}\n\
             protocol_version=1\nallowed_ip=10.0.0.2/32\nallowed_ip=fd00::2/128\n\
             public_key={}\nendpoint=[2001:db8::1]:51820\nallowed_ip=10.9.0.0/24\nerrno=0\n\n",
            hex(9),
            hex(1),
            hex(0),
            hex(0xab),
        );
        let keys = parse(answer.as_bytes()).unwrap();
        let shown = |key: u8| {
            let ips = keys[&BASE64_STANDARD.encode([key; 32])].iter();
            ips.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(keys.len(), 2);
        assert_eq!(shown(1), ["10.0.0.2/32", "fd00::2/128"]);
        assert_eq!(shown(0xab), ["10.9.0.0/24"]);
        let end = answer.find("errno=0").unwrap();
        for length in 0..end {
            assert!(parse(&answer.as_bytes()[..length]).is_err(), "{length}");
        }
        for wrong in [
            "errno=13",
            "public_key=zz\nerrno=0",
            "allowed_ip=10.0.0.1/32\nerrno=0",
        ] {
            let error = parse(wrong.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("zz"), "{error}");
        }
    }
}
