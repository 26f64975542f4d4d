//! XDP programs by the bare system call: the smallest ones, nothing but a verdict or a redirection, and
//! those that somebody else has pinned.

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_LINK_CREATE: libc::c_long = 28;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
/// Frames that are handed over at once: as many as a veth's ring holds, and the most that the kernel takes.
const LIVE_BATCH: u32 = 256;
const HELPER_REDIRECT: i32 = 23;

/// A loaded program.
pub(super) struct Program(OwnedFd);

/// Its place on an interface; dropped, it is gone.
pub(super) struct Attached {
    _link: OwnedFd,
}

/// One instruction, as the kernel reads it.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// `r{register} = immediate`
const fn set(register: u8, immediate: i32) -> Instruction {
    Instruction {
        code: 0xb7,
        registers: register,
        offset: 0,
        immediate,
    }
}

const fn call(helper: i32) -> Instruction {
    Instruction {
        code: 0x85,
        registers: 0,
        offset: 0,
        immediate: helper,
    }
}

const EXIT: Instruction = Instruction {
    code: 0x95,
    registers: 0,
    offset: 0,
    immediate: 0,
};

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions_len: u32,
    instructions: u64,
    license: u64,
}

#[repr(C)]
#[derive(Default)]
struct Get {
    path: u64,
    fd: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Run {
    program: u32,
    return_value: u32,
    data_in_len: u32,
    data_out_len: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_in_len: u32,
    context_out_len: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct Link {
    program: u32,
    interface: u32,
    kind: u32,
    flags: u32,
}

impl Program {
    /// Says the same of every packet.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub(super) fn verdict(verdict: u32) -> Result<Self> {
        Self::load(&[set(0, verdict.cast_signed()), EXIT])
    }

    /// Sends every packet out of an interface.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub(super) fn redirect(interface: u32) -> Result<Self> {
        Self::load(&[
            set(1, interface.cast_signed()),
            set(2, 0),
            call(HELPER_REDIRECT),
            EXIT,
        ])
    }

    /// That is pinned under this path.
    ///
    /// # Errors
    /// When none is.
    pub(super) fn pinned(path: &str) -> Result<Self> {
        let name = CString::new(path)?;
        let mut request = Get {
            path: name.as_ptr().addr() as u64,
            ..Get::default()
        };
        bpf_fd(BPF_OBJ_GET, &mut request)
            .map(Self)
            .with_context(|| path.to_owned())
    }

    fn load(instructions: &[Instruction]) -> Result<Self> {
        let mut request = Load {
            kind: PROG_TYPE_XDP,
            instructions_len: u32::try_from(instructions.len())?,
            instructions: instructions.as_ptr().addr() as u64,
            license: c"Apache-2.0".as_ptr().addr() as u64,
        };
        bpf_fd(BPF_PROG_LOAD, &mut request)
            .map(Self)
            .context("load a program (root is needed)")
    }

    /// On an interface of the calling thread's namespace, in its driver.
    ///
    /// # Errors
    /// When something else is there.
    pub(super) fn attach(&self, interface: u32) -> Result<Attached> {
        let mut request = Link {
            program: self.0.as_raw_fd().cast_unsigned(),
            interface,
            kind: ATTACH_TYPE_XDP,
            flags: XDP_FLAGS_DRV_MODE,
        };
        let link = bpf_fd(BPF_LINK_CREATE, &mut request).context("attach a program")?;
        Ok(Attached { _link: link })
    }

    /// Runs it `repeat` times on a copy of a frame; what it said, and how many nanoseconds it took, averaged.
    ///
    /// # Errors
    /// When the kernel does not.
    pub(super) fn run(&self, frame: &[u8], repeat: u32) -> Result<(u32, u32)> {
        let run = self.run_with(frame, repeat, 0)?;
        Ok((run.return_value, run.duration))
    }

    /// Runs it `repeat` times on a real frame, which then takes the way that the program says.
    ///
    /// # Errors
    /// On kernels before 5.18.
    pub(super) fn run_live(&self, frame: &[u8], repeat: u32) -> Result<()> {
        self.run_with(frame, repeat, TEST_XDP_LIVE_FRAMES).map(drop)
    }

    fn run_with(&self, frame: &[u8], repeat: u32, flags: u32) -> Result<Run> {
        let mut request = Run {
            program: self.0.as_raw_fd().cast_unsigned(),
            data_in_len: u32::try_from(frame.len())?,
            data_in: frame.as_ptr().addr() as u64,
            repeat,
            flags,
            batch: match flags {
                TEST_XDP_LIVE_FRAMES => LIVE_BATCH,
                _ => 0,
            },
            ..Run::default()
        };
        bpf(BPF_PROG_TEST_RUN, &mut request).context("run a program")?;
        Ok(request)
    }
}

fn bpf_fd<T>(command: libc::c_long, request: &mut T) -> io::Result<OwnedFd> {
    let fd = bpf(command, request)?;
    // SAFETY: the kernel just made this descriptor for us, by a command that makes one.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<T>(command: libc::c_long, request: &mut T) -> io::Result<i32> {
    // SAFETY: each request begins as the kernel's `union bpf_attr` for its command does and its length is
    // given; what it points to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, request, size_of::<T>()) };
    match result {
        0.. => Ok(result as i32),
        _ => Err(io::Error::last_os_error()),
    }
}
