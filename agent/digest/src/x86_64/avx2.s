# SHA-512's compression function for AVX2, BMI1 and BMI2: the rounds in general registers, the schedule in vectors.
#
#   rdi  state: 8 words, a to h        rsi  blocks of 128 bytes        rdx  their number, at least 1
#
#   rax rbx rcx rdx r8 r9 r10 r11   a to h; renamed from round to round instead of moved
#   rsi rdi r15                     temporary
#   rbp r14                         a ^ b of this round and of the one before, by turns
#   r12                             128 bytes into the words of the next 16 rounds, round constants added
#   r13                             128 bytes into the round constants of the next words; then a counter
#   ymm0 to ymm7                    the last 16 words of both blocks
#   ymm8 to ymm13, ymm14, ymm15     temporary; byte order
#
#   rsp + 0                         words with round constants: 40 times two of the first block, two of the second
#   rsp + 1280                      caller's rsp, blocks left, state, next blocks, counter

# A round up to T1, in h. The word's place is given in pairs of words and in words. The two halves of Ch have no bit in
# common, so that both are added.
.macro tacit_t1 pair, word, e, f, g, h
    add \h, qword ptr [r12 + 32*\pair + 8*\word - 128]
    andn r15, \e, \g
    mov rdi, \e
    and rdi, \f
    rorx rsi, \e, 14
    add \h, r15
    rorx r15, \e, 18
    add \h, rdi
    xor rsi, r15
    rorx r15, \e, 41
    xor rsi, r15
    add \h, rsi
.endm

# The rest of a round. Maj(a, b, c) is ((a ^ b) & (b ^ c)) ^ b, and b ^ c is what a ^ b was in the round before.
.macro tacit_t2 a, b, d, h, before, now
    rorx rdi, \a, 28
    rorx r15, \a, 34
    mov \now, \a
    xor \now, \b
    xor rdi, r15
    rorx r15, \a, 39
    and \before, \now
    xor rdi, r15
    xor \before, \b
    add \d, \h
    add \h, rdi
    add \h, \before
.endm

.macro tacit_two_rounds pair, a, b, c, d, e, f, g, h
    tacit_t1 \pair, 0, \e, \f, \g, \h
    tacit_t2 \a, \b, \d, \h, rbp, r14
    tacit_t1 \pair, 1, \d, \e, \f, \g
    tacit_t2 \h, \a, \c, \g, r14, rbp
.endm

# Two rounds, and the words 16 further on: W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16]. x0 holds W[t-16] and
# W[t-15] of both blocks, x1 the next two, and so on.
.macro tacit_two_rounds_and_words pair, a, b, c, d, e, f, g, h, x0, x1, x4, x5, x7
    vpalignr ymm8, \x1, \x0, 8
    vpalignr ymm9, \x5, \x4, 8
    vpsrlq ymm10, ymm8, 1
    vpsllq ymm11, ymm8, 56
    vpaddq \x0, \x0, ymm9
    vpsrlq ymm9, ymm8, 7
    tacit_t1 \pair, 0, \e, \f, \g, \h
    vpxor ymm10, ymm10, ymm11
    vpsrlq ymm11, ymm8, 8
    vpxor ymm9, ymm9, ymm10
    vpsllq ymm10, ymm8, 63
    vpsrlq ymm12, \x7, 6
    vpxor ymm9, ymm9, ymm11
    tacit_t2 \a, \b, \d, \h, rbp, r14
    vpsrlq ymm13, \x7, 19
    vpxor ymm9, ymm9, ymm10
    vpsllq ymm8, \x7, 3
    vpxor ymm12, ymm12, ymm13
    vpsrlq ymm13, \x7, 61
    vpaddq \x0, \x0, ymm9
    tacit_t1 \pair, 1, \d, \e, \f, \g
    vpxor ymm12, ymm12, ymm8
    vpsllq ymm8, \x7, 45
    vpxor ymm12, ymm12, ymm13
    vpxor ymm12, ymm12, ymm8
    vpaddq \x0, \x0, ymm12
    vpaddq ymm9, \x0, ymmword ptr [r13 + 32*\pair - 128]
    vmovdqa ymmword ptr [r12 + 32*\pair + 256 - 128], ymm9
    tacit_t2 \h, \a, \c, \g, r14, rbp
.endm

.macro tacit_rounds
    tacit_two_rounds 0, rax, rbx, rcx, rdx, r8, r9, r10, r11
    tacit_two_rounds 1, r10, r11, rax, rbx, rcx, rdx, r8, r9
    tacit_two_rounds 2, r8, r9, r10, r11, rax, rbx, rcx, rdx
    tacit_two_rounds 3, rcx, rdx, r8, r9, r10, r11, rax, rbx
    tacit_two_rounds 4, rax, rbx, rcx, rdx, r8, r9, r10, r11
    tacit_two_rounds 5, r10, r11, rax, rbx, rcx, rdx, r8, r9
    tacit_two_rounds 6, r8, r9, r10, r11, rax, rbx, rcx, rdx
    tacit_two_rounds 7, rcx, rdx, r8, r9, r10, r11, rax, rbx
.endm

.macro tacit_rounds_and_words
    tacit_two_rounds_and_words 0, rax, rbx, rcx, rdx, r8, r9, r10, r11, ymm0, ymm1, ymm4, ymm5, ymm7
    tacit_two_rounds_and_words 1, r10, r11, rax, rbx, rcx, rdx, r8, r9, ymm1, ymm2, ymm5, ymm6, ymm0
    tacit_two_rounds_and_words 2, r8, r9, r10, r11, rax, rbx, rcx, rdx, ymm2, ymm3, ymm6, ymm7, ymm1
    tacit_two_rounds_and_words 3, rcx, rdx, r8, r9, r10, r11, rax, rbx, ymm3, ymm4, ymm7, ymm0, ymm2
    tacit_two_rounds_and_words 4, rax, rbx, rcx, rdx, r8, r9, r10, r11, ymm4, ymm5, ymm0, ymm1, ymm3
    tacit_two_rounds_and_words 5, r10, r11, rax, rbx, rcx, rdx, r8, r9, ymm5, ymm6, ymm1, ymm2, ymm4
    tacit_two_rounds_and_words 6, r8, r9, r10, r11, rax, rbx, rcx, rdx, ymm6, ymm7, ymm2, ymm3, ymm5
    tacit_two_rounds_and_words 7, rcx, rdx, r8, r9, r10, r11, rax, rbx, ymm7, ymm0, ymm3, ymm4, ymm6
.endm

# The first words are the block itself: of the first block at rsi, of the second at rdi.
.macro tacit_load pair, words, first
    vmovdqu \first, xmmword ptr [rsi + 16*\pair]
    vinserti128 \words, \words, xmmword ptr [rdi + 16*\pair], 1
    vpshufb \words, \words, ymm15
    vpaddq ymm14, \words, ymmword ptr [r13 + 32*\pair]
    vmovdqa ymmword ptr [rsp + 32*\pair], ymm14
.endm

.macro tacit_add_to_state word, register
    add \register, qword ptr [rdi + 8*\word]
    mov qword ptr [rdi + 8*\word], \register
.endm

.macro tacit_end_of_block
    mov rdi, qword ptr [rsp + 1280 + 16]
    tacit_add_to_state 0, rax
    tacit_add_to_state 1, rbx
    tacit_add_to_state 2, rcx
    tacit_add_to_state 3, rdx
    tacit_add_to_state 4, r8
    tacit_add_to_state 5, r9
    tacit_add_to_state 6, r10
    tacit_add_to_state 7, r11
.endm

    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    mov rax, rsp
    sub rsp, 1280 + 40
    and rsp, -64
    mov qword ptr [rsp + 1280], rax
    mov qword ptr [rsp + 1280 + 8], rdx
    mov qword ptr [rsp + 1280 + 16], rdi
    mov rax, qword ptr [rdi]
    mov rbx, qword ptr [rdi + 8]
    mov rcx, qword ptr [rdi + 16]
    mov rdx, qword ptr [rdi + 24]
    mov r8, qword ptr [rdi + 32]
    mov r9, qword ptr [rdi + 40]
    mov r10, qword ptr [rdi + 48]
    mov r11, qword ptr [rdi + 56]
    vmovdqa ymm15, ymmword ptr [rip + {byte_order}]

# A last block that is alone stands for its own neighbour; the neighbour's rounds are left out.
2:
    lea r13, [rip + {round_constants}]
    lea rdi, [rsi + 128]
    cmp qword ptr [rsp + 1280 + 8], 1
    cmove rdi, rsi
    tacit_load 0, ymm0, xmm0
    tacit_load 1, ymm1, xmm1
    tacit_load 2, ymm2, xmm2
    tacit_load 3, ymm3, xmm3
    tacit_load 4, ymm4, xmm4
    tacit_load 5, ymm5, xmm5
    tacit_load 6, ymm6, xmm6
    tacit_load 7, ymm7, xmm7
    add rsi, 256
    mov qword ptr [rsp + 1280 + 24], rsi
    lea r12, [rsp + 128]
    add r13, 256 + 128
    mov rbp, rbx
    xor rbp, rcx
    mov qword ptr [rsp + 1280 + 32], 4
    .p2align 5
3:
    tacit_rounds_and_words
    add r12, 256
    add r13, 256
    dec qword ptr [rsp + 1280 + 32]
    jnz 3b
    tacit_rounds
    tacit_end_of_block
    dec qword ptr [rsp + 1280 + 8]
    jz 5f

    lea r12, [rsp + 128 + 16]
    mov rbp, rbx
    xor rbp, rcx
    mov r13d, 5
    .p2align 5
4:
    tacit_rounds
    add r12, 256
    dec r13d
    jnz 4b
    tacit_end_of_block
    mov rsi, qword ptr [rsp + 1280 + 24]
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

.purgem tacit_t1
.purgem tacit_t2
.purgem tacit_two_rounds
.purgem tacit_two_rounds_and_words
.purgem tacit_rounds
.purgem tacit_rounds_and_words
.purgem tacit_load
.purgem tacit_add_to_state
.purgem tacit_end_of_block
