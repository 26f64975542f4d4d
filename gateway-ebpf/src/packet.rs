//! Reading a packet. Nearly all headers lie in the buffer that a program may read directly; when one does
//! not, the packet is read once more through the kernel's copying helper. Most of the `unsafe` is here.

use core::{arch::asm, cell::Cell, intrinsics::is_val_statically_known};

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::{TcContext, XdpContext},
};
use gateway_common::{Datagram, Packet};

/// Length of the packet with all its fragments. To ask for it costs more than all headers of a packet, so
/// one that ends in its first buffer by its own account is believed: what may follow there is padding.
#[inline(always)]
pub(crate) fn xdp_len(ctx: &XdpContext, direct: &Direct, datagram: &Datagram) -> u32 {
    match direct.len() as u32 {
        length if datagram.end <= length => length,
        _ => xdp_whole_len(ctx),
    }
}

#[inline(always)]
pub(crate) fn xdp_whole_len(ctx: &XdpContext) -> u32 {
    // SAFETY: the helper takes the context that the program was called with.
    let length = unsafe { bpf_xdp_get_buff_len(ctx.ctx) };
    length as u32
}

/// What lies between the packet's start and the end of its first buffer.
pub(crate) struct Direct {
    start: usize,
    end: usize,
    /// A read went beyond the end.
    short: Cell<bool>,
}

impl Direct {
    #[inline(always)]
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        let short = Cell::new(false);
        Self { start, end, short }
    }

    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Did a read go beyond the end, and does the packet not end there?
    #[inline(always)]
    pub(crate) fn misses(&self, whole: impl FnOnce() -> u32) -> bool {
        self.short.get() && self.len() < whole() as usize
    }
}

impl Packet for Direct {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = place(self.start, offset);
        if at + N > self.end {
            self.short.set(true);
            return None;
        }
        // SAFETY: the bytes lie before the packet's end, as the verifier checks again.
        Some(unsafe { (at as *const [u8; N]).read_unaligned() })
    }
}

/// `start + offset`. Where the offset is read from the packet, the sum is made in one register that the
/// compiler cannot take apart: it would compare one sum with the packet's end and read through another, and
/// the verifier does not see that they are the same.
#[inline(always)]
fn place(start: usize, offset: usize) -> usize {
    let mut at = start + offset;
    if !is_val_statically_known(offset) {
        // SAFETY: no instruction.
        unsafe { asm!("/* {0} */", inout(reg) at, options(pure, nomem, nostack)) };
    }
    at
}

pub(crate) struct XdpCopy<'a>(pub(crate) &'a XdpContext);

impl Packet for XdpCopy<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let target = bytes.as_mut_ptr().cast();
        // SAFETY: the helper writes N bytes to where N are, or none.
        let result = unsafe { bpf_xdp_load_bytes(self.0.ctx, offset as u32, target, N as u32) };
        (result == 0).then_some(bytes)
    }
}

pub(crate) struct SkbCopy<'a>(pub(crate) &'a TcContext);

impl Packet for SkbCopy<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let target = bytes.as_mut_ptr().cast();
        // SAFETY: the helper writes N bytes to where N are, or none.
        let result =
            unsafe { bpf_skb_load_bytes(self.0.as_ptr(), offset as u32, target, N as u32) };
        (result == 0).then_some(bytes)
    }
}
