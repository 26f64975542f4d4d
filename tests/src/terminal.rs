//! The command line on a terminal of its own, as somebody who types sees it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use nix::pty::{Winsize, openpty};

use crate::node::keyway;

/// How long a question may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

const SIZE: Winsize = Winsize {
    ws_row: 40,
    ws_col: 120,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A running command; it is killed when this is dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// Everything that was shown so far.
    shown: String,
    /// Up to here `wait` has looked.
    seen: usize,
}

impl Terminal {
    /// Runs `keyway` with these arguments against a node's socket.
    ///
    /// # Errors
    /// When there is no terminal to be had, or no binary.
    pub fn run(socket: &Path, arguments: &[&str]) -> Result<Self> {
        let pty = openpty(&SIZE, None)?;
        let side = || pty.slave.try_clone();
        let child = Command::new(keyway()?)
            .arg("--socket")
            .arg(socket)
            .args(arguments)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .stdin(side()?)
            .stdout(side()?)
            .stderr(pty.slave)
            .spawn()?;
        let keyboard = File::from(pty.master);
        let mut output = keyboard.try_clone()?;
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Reading fails when the last one on the other side is gone.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            keyboard,
            screen,
            shown: String::new(),
            seen: 0,
        })
    }

    /// Waits for `text` behind what was waited for before, then types.
    ///
    /// # Errors
    /// When it does not come.
    pub fn answer(&mut self, text: &str, typed: &str) -> Result<()> {
        self.wait(text)?;
        self.keyboard.write_all(typed.as_bytes())?;
        Ok(())
    }

    /// Waits for `text` behind what was waited for before.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.shown += &plain(&bytes),
                Err(_) => bail!("{text:?} is not shown: {}", self.shown),
            }
        }
    }

    /// Waits for the end, and returns everything that was shown.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(mut self) -> Result<(ExitStatus, String)> {
        while let Ok(bytes) = self.screen.recv_timeout(PATIENCE) {
            self.shown += &plain(&bytes);
        }
        let status = self.child.wait()?;
        Ok((status, std::mem::take(&mut self.shown)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without the sequences that move the cursor.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::new();
    let mut rest = text.as_ref();
    while let Some((before, behind)) = rest.split_once("\x1b[") {
        plain += before;
        let end = behind.find(|c: char| c.is_ascii_alphabetic());
        rest = end.map_or("", |end| &behind[end + 1..]);
    }
    plain + rest
}
