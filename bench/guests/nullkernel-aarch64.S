/* The null kernel for QEMU's machine "virt": writes "ready\n" to its PL011, waits for a line, powers off by PSCI.
 *
 * Addresses are those of QEMU's hw/arm/virt.c; registers those of Arm's PL011 manual (DDI 0183), the call that of Arm's
 * Power State Coordination Interface (DEN 0022). There is no firmware: QEMU starts it with the MMU off, at EL1.
 */
#define PL011 0x09000000
#define DATA 0x00
#define FLAGS 0x18
#define TRANSMITTER_FULL 5 /* bits of FLAGS */
#define RECEIVER_EMPTY 4
#define SYSTEM_OFF_HIGH 0x8400 /* PSCI's SYSTEM_OFF is 0x84000008 */
#define SYSTEM_OFF_LOW 0x0008

    .text
    .globl start
start:
    mov x1, #PL011
    adr x2, message
next:
    ldrb w0, [x2], #1
    cbz w0, listen
wait_for_room:
    ldr w3, [x1, #FLAGS]
    tbnz w3, #TRANSMITTER_FULL, wait_for_room
    str w0, [x1, #DATA]
    b next

listen:
    ldr w3, [x1, #FLAGS]
    tbz w3, #RECEIVER_EMPTY, heard
    yield
    b listen
heard:
    ldr w0, [x1, #DATA]
    and w0, w0, #0xff /* above it are the errors of the line */
    cmp w0, #'\n'
    b.ne listen

    movz w0, #SYSTEM_OFF_HIGH, lsl #16
    movk w0, #SYSTEM_OFF_LOW
    hvc #0
stop:
    wfi
    b stop

message:
    .asciz "ready\n"
    .section .note.GNU-stack, "", @progbits
