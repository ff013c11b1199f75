# SHA-512's compression function for AVX-512 (F, BW, VL), BMI1 and BMI2: half of each round in general registers, the
# other half in vectors, and the schedule in vectors.
#
#   rdi  state: 8 words, a to h        rsi  blocks of 128 bytes        rdx  their number, at least 1
#
# The general arithmetic units are the limit where a round is done in them alone. Here they have e to h, and the vector
# units a to d, where a function of three words is one instruction. T1 crosses over in each round; d crosses back when it
# is three rounds old, so that nobody waits for it.
#
#   xmm0 to xmm3                    a to d; renamed from round to round instead of moved
#   xmm4 to xmm7                    temporary
#   r8 to r11                       e to h, renamed likewise
#   rbx rcx rbp r14 r15             temporary
#   r12                             128 bytes into the words of the next 16 rounds, round constants added
#   r13                             128 bytes into the round constants of the next words
#   edx                             counter
#   ymm16 to ymm23                  the last 16 words of both blocks
#   ymm24 to ymm30, ymm31           temporary; byte order
#
#   rsp + 0                         words with round constants: 40 times two of the first block, two of the second
#   rsp + 1280                      caller's rsp, blocks left

# The word's place is given in pairs of words and in words. The two halves of Ch have no bit in common, so that both are
# added.
.macro tacit_round pair, word, a, b, c, d, e, f, g, h
    add \h, qword ptr [r12 + 32*\pair + 8*\word - 128]
    rorx rbx, \e, 14
    rorx rcx, \e, 18
    mov r14, \e
    and r14, \f
    andn r15, \e, \g
    xor rbx, rcx
    rorx rcx, \e, 41
    add \h, r14
    vmovq rbp, \d
    add \h, r15
    xor rbx, rcx
    add \h, rbx
    vmovq xmm4, \h
    add \h, rbp
    vprorq xmm5, \a, 28
    vprorq xmm6, \a, 34
    vprorq xmm7, \a, 39
    vmovdqa \d, \a
    vpternlogq \d, \b, \c, 0xe8
    vpternlogq xmm5, xmm6, xmm7, 0x96
    vpaddq \d, \d, xmm4
    vpaddq \d, \d, xmm5
.endm

# The words 16 further on than the pair at hand: W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16]. x0 holds W[t-16] and
# W[t-15] of both blocks, x1 the next two, and so on.
.macro tacit_words pair, x0, x1, x4, x5, x7
    vpalignr ymm24, \x1, \x0, 8
    vpalignr ymm25, \x5, \x4, 8
    vprorq ymm26, ymm24, 1
    vprorq ymm27, ymm24, 8
    vpsrlq ymm24, ymm24, 7
    vpaddq \x0, \x0, ymm25
    vprorq ymm28, \x7, 19
    vprorq ymm29, \x7, 61
    vpsrlq ymm30, \x7, 6
    vpternlogq ymm26, ymm27, ymm24, 0x96
    vpternlogq ymm28, ymm29, ymm30, 0x96
    vpaddq \x0, \x0, ymm26
    vpaddq \x0, \x0, ymm28
    vpaddq ymm25, \x0, ymmword ptr [r13 + 32*\pair - 128]
    vmovdqa64 ymmword ptr [r12 + 32*\pair + 256 - 128], ymm25
.endm

.macro tacit_two_rounds pair, a, b, c, d, e, f, g, h
    tacit_round \pair, 0, \a, \b, \c, \d, \e, \f, \g, \h
    tacit_round \pair, 1, \d, \a, \b, \c, \h, \e, \f, \g
.endm

.macro tacit_rounds
    tacit_two_rounds 0, xmm0, xmm1, xmm2, xmm3, r8, r9, r10, r11
    tacit_two_rounds 1, xmm2, xmm3, xmm0, xmm1, r10, r11, r8, r9
    tacit_two_rounds 2, xmm0, xmm1, xmm2, xmm3, r8, r9, r10, r11
    tacit_two_rounds 3, xmm2, xmm3, xmm0, xmm1, r10, r11, r8, r9
    tacit_two_rounds 4, xmm0, xmm1, xmm2, xmm3, r8, r9, r10, r11
    tacit_two_rounds 5, xmm2, xmm3, xmm0, xmm1, r10, r11, r8, r9
    tacit_two_rounds 6, xmm0, xmm1, xmm2, xmm3, r8, r9, r10, r11
    tacit_two_rounds 7, xmm2, xmm3, xmm0, xmm1, r10, r11, r8, r9
.endm

.macro tacit_rounds_and_words
    tacit_words 0, ymm16, ymm17, ymm20, ymm21, ymm23
    tacit_two_rounds 0, xmm0, xmm1, xmm2, xmm3, r8, r9, r10, r11
    tacit_words 1, ymm17, ymm18, ymm21, ymm22, ymm16
    tacit_two_rounds 1, xmm2, xmm3, xmm0, xmm1, r10, r11, r8, r9
    tacit_words 2, ymm18, ymm19, ymm22, ymm23, ymm17
    tacit_two_rounds 2, xmm0, xmm1, xmm2, xmm3, r8, r9, r10, r11
    tacit_words 3, ymm19, ymm20, ymm23, ymm16, ymm18
    tacit_two_rounds 3, xmm2, xmm3, xmm0, xmm1, r10, r11, r8, r9
    tacit_words 4, ymm20, ymm21, ymm16, ymm17, ymm19
    tacit_two_rounds 4, xmm0, xmm1, xmm2, xmm3, r8, r9, r10, r11
    tacit_words 5, ymm21, ymm22, ymm17, ymm18, ymm20
    tacit_two_rounds 5, xmm2, xmm3, xmm0, xmm1, r10, r11, r8, r9
    tacit_words 6, ymm22, ymm23, ymm18, ymm19, ymm21
    tacit_two_rounds 6, xmm0, xmm1, xmm2, xmm3, r8, r9, r10, r11
    tacit_words 7, ymm23, ymm16, ymm19, ymm20, ymm22
    tacit_two_rounds 7, xmm2, xmm3, xmm0, xmm1, r10, r11, r8, r9
.endm

# The first words are the block itself: of the first block at rsi, of the second at rax.
.macro tacit_load pair, words, first
    vmovdqu64 \first, xmmword ptr [rsi + 16*\pair]
    vinserti32x4 \words, \words, xmmword ptr [rax + 16*\pair], 1
    vpshufb \words, \words, ymm31
    vpaddq ymm30, \words, ymmword ptr [r13 + 32*\pair]
    vmovdqa64 ymmword ptr [rsp + 32*\pair], ymm30
.endm

.macro tacit_add_to_state word, register, low
    vmovq xmm4, qword ptr [rdi + 8*\word]
    vpaddq \low, \low, xmm4
    vmovq qword ptr [rdi + 8*\word], \low
    add \register, qword ptr [rdi + 8*\word + 32]
    mov qword ptr [rdi + 8*\word + 32], \register
.endm

.macro tacit_end_of_block
    tacit_add_to_state 0, r8, xmm0
    tacit_add_to_state 1, r9, xmm1
    tacit_add_to_state 2, r10, xmm2
    tacit_add_to_state 3, r11, xmm3
.endm

    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rax, rsp
    sub rsp, 1280 + 16
    and rsp, -64
    mov qword ptr [rsp + 1280], rax
    mov qword ptr [rsp + 1280 + 8], rdx
    vmovq xmm0, qword ptr [rdi]
    vmovq xmm1, qword ptr [rdi + 8]
    vmovq xmm2, qword ptr [rdi + 16]
    vmovq xmm3, qword ptr [rdi + 24]
    mov r8, qword ptr [rdi + 32]
    mov r9, qword ptr [rdi + 40]
    mov r10, qword ptr [rdi + 48]
    mov r11, qword ptr [rdi + 56]
    vmovdqa64 ymm31, ymmword ptr [rip + {byte_order}]

# A last block that is alone stands for its own neighbour; the neighbour's rounds are left out.
2:
    lea r13, [rip + {round_constants}]
    lea rax, [rsi + 128]
    cmp qword ptr [rsp + 1280 + 8], 1
    cmove rax, rsi
    tacit_load 0, ymm16, xmm16
    tacit_load 1, ymm17, xmm17
    tacit_load 2, ymm18, xmm18
    tacit_load 3, ymm19, xmm19
    tacit_load 4, ymm20, xmm20
    tacit_load 5, ymm21, xmm21
    tacit_load 6, ymm22, xmm22
    tacit_load 7, ymm23, xmm23
    add rsi, 256
    lea r12, [rsp + 128]
    add r13, 256 + 128
    mov edx, 4
    .p2align 5
3:
    tacit_rounds_and_words
    add r12, 256
    add r13, 256
    dec edx
    jnz 3b
    tacit_rounds
    tacit_end_of_block
    dec qword ptr [rsp + 1280 + 8]
    jz 5f

    lea r12, [rsp + 128 + 16]
    mov edx, 5
    .p2align 5
4:
    tacit_rounds
    add r12, 256
    dec edx
    jnz 4b
    tacit_end_of_block
    dec qword ptr [rsp + 1280 + 8]
    jnz 2b
5:
    mov rsp, qword ptr [rsp + 1280]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    vzeroupper
    ret

.purgem tacit_round
.purgem tacit_words
.purgem tacit_two_rounds
.purgem tacit_rounds
.purgem tacit_rounds_and_words
.purgem tacit_load
.purgem tacit_add_to_state
.purgem tacit_end_of_block
