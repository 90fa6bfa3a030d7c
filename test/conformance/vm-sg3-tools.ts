/** What the exit codes of sg3_utils and ddpt say (sg3_utils(8), EXIT STATUS), and what is read from their output. */

export const ExitCode = {
  syntaxError: 1,
  notReady: 2,
  mediumOrHardwareError: 3,
  illegalRequest: 5,
  unitAttention: 6,
  dataProtect: 7,
  invalidOperationCode: 9,
  copyAborted: 10,
  abortedCommand: 11,
  miscompare: 14,
  lbaOutOfRange: 22,
  reservationConflict: 24,
  protectionInformation: 40,
} as const

/** The number behind a label, as `Label=0x12` or `Label: 18`. */
export function numberOf(label: string, text: string): number {
  const escaped = label.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  const value = new RegExp(`${escaped}\\s*[=:]\\s*(-?(?:0x)?[0-9a-f]+)`, "i").exec(text)?.[1]
  if (value === undefined) throw new Error(`no ${label} in:\n${text}`)
  return Number(value)
}

/** The bytes of a hex dump: `00     0a 0b 0c` and on. */
export function bytesOf(text: string): number[] {
  return [...text.matchAll(/^ [0-9a-f]{2} {4,5}((?:[0-9a-f]{2} {0,2})+)/gm)].flatMap(([, row]) =>
    row!
      .trim()
      .split(/ +/)
      .map((byte) => Number.parseInt(byte, 16)),
  )
}
