#![expect(
    unsafe_code,
    reason = "code for instructions that only some processors have is called by its address"
)]

use std::arch::{is_x86_feature_detected, naked_asm};

use crate::constants::ROUND;
use crate::context::{Block, State};

/// Code that this processor can run: there is a value of this type only where its instructions were detected.
#[derive(Clone, Copy)]
pub(crate) struct Compress {
    name: &'static str,
    code: unsafe extern "sysv64" fn(state: *mut State, blocks: *const Block, count: usize),
}

impl Compress {
    /// All that this processor can run.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        let avx512 = avx512.then_some(Self { name: "AVX-512", code: avx512_blocks });
        let avx2 = avx2.then_some(Self { name: "AVX2", code: avx2_blocks });
        avx512.into_iter().chain(avx2)
    }

    /// Changes nothing and says that it did its work.
    #[cfg(test)]
    pub(crate) fn faulty() -> Self {
        unsafe extern "sysv64" fn nothing(_: *mut State, _: *const Block, _: usize) {}
        Self { name: "faulty", code: nothing }
    }

    pub(crate) fn name(self) -> &'static str {
        self.name
    }

    /// Takes `blocks` into `state`, in their order.
    pub(crate) fn blocks(self, state: &mut State, blocks: &[Block]) {
        if blocks.is_empty() {
            return;
        }
        // SAFETY: `all` found every instruction set that the code uses. It reads `count` blocks from `blocks` at any
        // alignment, reads and writes the state, and keeps neither; both live until it returns.
        unsafe { (self.code)(state, blocks.as_ptr(), blocks.len()) }
    }
}

/// [`ROUND`], two words at a time, once for each of the two blocks of a pass.
#[repr(align(64))]
struct RoundConstants(#[expect(dead_code, reason = "read by the machine code")] [u64; 160]);

static ROUND_CONSTANTS: RoundConstants = {
    let mut constants = [0; 160];
    let mut at = 0;
    while at < constants.len() {
        constants[at] = ROUND[at / 4 * 2 + at % 2];
        at += 1;
    }
    RoundConstants(constants)
};

/// For `vpshufb`: the message's words are big-endian.
#[repr(align(64))]
struct ByteOrder(#[expect(dead_code, reason = "read by the machine code")] [u8; 32]);

static BYTE_ORDER: ByteOrder = {
    let mut order = [0; 32];
    let mut at = 0;
    while at < order.len() {
        order[at] = (at % 16 / 8 * 8 + 7 - at % 8) as u8;
        at += 1;
    }
    ByteOrder(order)
};

/// # Safety
///
/// The processor has AVX2, BMI1 and BMI2, and `blocks` are `count` readable ones, at least one.
#[unsafe(naked)]
unsafe extern "sysv64" fn avx2_blocks(state: *mut State, blocks: *const Block, count: usize) {
    naked_asm!(
        include_str!("avx2.s"),
        byte_order = sym BYTE_ORDER,
        round_constants = sym ROUND_CONSTANTS,
    )
}

/// # Safety
///
/// As [`avx2_blocks`], and the processor has AVX-512F, BW and VL.
#[unsafe(naked)]
unsafe extern "sysv64" fn avx512_blocks(state: *mut State, blocks: *const Block, count: usize) {
    naked_asm!(
        include_str!("avx512.s"),
        byte_order = sym BYTE_ORDER,
        round_constants = sym ROUND_CONSTANTS,
    )
}
