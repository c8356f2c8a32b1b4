/* The null kernel: multiboot code that writes "ready\n" to the first serial port, waits for a line, powers off.
 *
 * Booted in the very same domain as the Linux guest it shows what VMM and firmware cost without a guest kernel.
 */
#define COM1 0x3f8
#define LINE_STATUS (COM1 + 5)
#define PM1A_CONTROL 0x604 /* where SeaBIOS puts the ACPI power management block of QEMU's q35 (PMBASE 0x600) */
#define SLEEP_S5 0x2000    /* SLP_EN; QEMU's S5 has SLP_TYP 0 */

    .text
    .code32
    .align 4 /* the header must lie in the first 8 KiB of the file */
    .long 0x1BADB002 /* multiboot 1 magic, no flags, checksum */
    .long 0
    .long -0x1BADB002

    .globl start
start:
    cli
    movl $message, %esi
say:
    movw $LINE_STATUS, %dx
wait_empty:
    inb %dx, %al
    testb $0x20, %al
    jz wait_empty
    movb (%esi), %al
    testb %al, %al
    jz listen
    movw $COM1, %dx
    outb %al, %dx
    incl %esi
    jmp say

listen:
    movw $LINE_STATUS, %dx
    inb %dx, %al
    testb $0x01, %al
    jnz heard
    pause
    jmp listen
heard:
    movw $COM1, %dx
    inb %dx, %al
    cmpb $'\n', %al
    jne listen

    movw $PM1A_CONTROL, %dx
    movw $SLEEP_S5, %ax
    outw %ax, %dx
stop:
    hlt
    jmp stop

message:
    .asciz "ready\n"
    .section .note.GNU-stack, "", @progbits
