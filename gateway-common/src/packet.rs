//! Where the decoder's bytes come from.

/// A frame. In the kernel every access is compared with the end of the packet, where the verifier can see
/// it; on the host it is a slice.
pub trait Packet {
    /// The `N` bytes from `offset` on, or nothing when the frame ends before.
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Packet for [u8] {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}
