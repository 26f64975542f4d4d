//! Reading a packet. Nearly all headers lie in the buffer that a program may read directly; when one does
//! not, the packet is decoded once more through the kernel's copying helper. Most of the `unsafe` is here.

use core::cell::Cell;

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::{TcContext, XdpContext},
};
use gateway_common::{Datagram, Link, Packet, decode};

/// The packet of an XDP program that sees fragments.
#[inline(always)]
pub(crate) fn decode_xdp(ctx: &XdpContext, link: Link) -> Datagram {
    let direct = Direct::new(ctx.data(), ctx.data_end());
    let datagram = decode(&direct, link);
    if direct.is_short() && direct.len() < xdp_len(ctx) as usize {
        return decode(&XdpCopy(ctx), link);
    }
    datagram
}

/// The packet of an XDP program that sees no fragments: all of it is in reach.
#[inline(always)]
pub(crate) fn decode_xdp_linear(ctx: &XdpContext, link: Link) -> Datagram {
    decode(&Direct::new(ctx.data(), ctx.data_end()), link)
}

/// The packet of a TC program.
#[inline(always)]
pub(crate) fn decode_tc(ctx: &TcContext, link: Link) -> Datagram {
    let direct = Direct::new(ctx.data(), ctx.data_end());
    let datagram = decode(&direct, link);
    if direct.is_short() && direct.len() < ctx.len() as usize {
        return decode(&SkbCopy(ctx), link);
    }
    datagram
}

/// Length of the packet with all its fragments.
#[inline(always)]
pub(crate) fn xdp_len(ctx: &XdpContext) -> u32 {
    // SAFETY: the helper takes the context that the program was called with.
    let length = unsafe { bpf_xdp_get_buff_len(ctx.ctx) };
    length as u32
}

/// What lies between the packet's start and the end of its first buffer.
struct Direct {
    start: usize,
    end: usize,
    /// A read went beyond the end.
    short: Cell<bool>,
}

impl Direct {
    #[inline(always)]
    const fn new(start: usize, end: usize) -> Self {
        let short = Cell::new(false);
        Self { start, end, short }
    }

    #[inline(always)]
    const fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    const fn is_short(&self) -> bool {
        self.short.get()
    }
}

impl Packet for Direct {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.start + offset;
        if at + N > self.end {
            self.short.set(true);
            return None;
        }
        // SAFETY: the bytes lie before the packet's end, as the verifier checks again.
        Some(unsafe { (at as *const [u8; N]).read_unaligned() })
    }
}

struct XdpCopy<'a>(&'a XdpContext);

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

struct SkbCopy<'a>(&'a TcContext);

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
